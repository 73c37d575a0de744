"""Copies of cases without their results."""

from pathlib import Path

from graphlab.conformance.case import load_case
from graphlab.conformance.files import write_document, write_tensors


def strip_case(case_path: str | Path, out_dir: str | Path) -> Path:
    """Copy a case into ``out_dir`` with no ``output/*`` tensors but those ``also_given``, and its expected values null.

    Returns:
        The JSON file of the copy.

    Raises:
        ConformanceError: if the case cannot be read.
    """
    case = load_case(case_path).case
    parts = {"param": case.params, "input": case.inputs, "output": case.given}
    copy = Path(out_dir) / Path(case_path).name
    write_tensors(
        copy.with_suffix(".safetensors"),
        {f"{prefix}/{name}": value for prefix, tensors in parts.items() for name, value in tensors.items()},
    )
    write_document(copy, case.document)
    return copy
