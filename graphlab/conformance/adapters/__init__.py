'''The adapters: how each system of graphlab answers the golden cases.

An adapter translates: names of the case -> one graphlab object -> names of the case. At most thirty lines and no
arithmetic; whatever it would have to compute belongs in the library. To add one, write ``SYSTEM.py`` in this folder,
named like the ``system`` of the cases (or ``SYSTEM_PART.py``, where one file would grow long). It is imported when the
first such case is met::

    """Answers to the golden cases of DAGNN."""

    import torch

    from graphlab.conformance import Case, Results, adapter
    from graphlab.nn.models import DAGNN


    @adapter("dagnn", "forward")
    def forward(case: Case) -> Results:
        sizes = (case.config[key] for key in ("num_features", "hidden", "num_classes", "K"))
        model = DAGNN(*sizes)
        model.load_state_dict(case.params)
        model = model.to(case.inputs["x"].dtype).eval()
        scores = model(case.inputs["x"], case.inputs["edge_index"])
        return Results({"log_probs": scores.log_softmax(dim=-1)})

* ``case.params``, ``case.inputs`` and the results are named without ``param/``, ``input/`` and ``output/``.
* Results that are JSON values go into ``Results(document=...)``, at the keys and depth they have in ``case.document``,
  where they are null: ``{"networks": [{"node_names": names} for ...]}``.
* ``case.given`` holds the outputs that are really inputs; they need not be returned.
* Compute in the dtype of the case. Any exception is reported as the failure of that case.
'''
