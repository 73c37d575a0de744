"""Names that differ in their numbers only, as one."""

from graphlab.names import merged


def test_names_with_equal_facts_are_merged():
    names = ["a.0.w", "a.1.w", "a.2.w", "b.1.w", "b.4.w", "c"]
    assert [(pattern, count) for pattern, _, count in merged(dict.fromkeys(names, ("x",)))] == [
        ("a.{0-2}.w", 3),
        ("b.{1,4}.w", 2),
        ("c", 1),
    ]


def test_names_with_other_facts_stay_apart():
    assert merged({"a.0": ("x",), "a.1": ("y",)}) == [("a.0", ("x",), 1), ("a.1", ("y",), 1)]


def test_two_numbers():
    assert merged({f"l{i}.e{j}": () for i in range(2) for j in range(3)}) == [("l{0-1}.e{0-2}", (), 6)]
