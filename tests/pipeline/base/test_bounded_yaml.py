"""YAML of strangers is read or refused, in little time and with nothing but the one error."""

import contextlib

import pytest
from ruamel.yaml.error import YAMLError

from pipeline.base.bounded_yaml import load_yaml

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(9)
)
BAD = {
    "aliases of aliases": BOMB,
    "an alias of itself": "a: &a [*a, *a]\n",
    "a mapping in itself": "a: &a {x: *a}\n",
    "deep brackets": "a: " + "[" * 3000 + "]" * 3000,
    "deep blocks": "".join(" " * n + "a:\n" for n in range(200)),
    "a tag that runs something": "a: !!python/object/apply:os.system ['true']\n",
    "two documents": "a: 1\n---\nb: 2\n",
    "a huge number": "a: " + "9" * 5000 + "\n",
    "a tab": "a:\n\tb: 1\n",
}


@pytest.mark.parametrize("kind", ["rt", "safe"])
@pytest.mark.parametrize("text", BAD.values(), ids=BAD.keys())
def test_only_one_error_comes_of_it(text, kind):
    with contextlib.suppress(YAMLError):
        load_yaml(text, kind)


def test_aliases_of_aliases_are_counted_before_they_are_written_out():
    with pytest.raises(YAMLError, match="aliases stand for more than 100,000 values"):
        load_yaml(BOMB)


def test_aliases_within_bounds_are_what_they_stand_for():
    assert load_yaml("a: &a [1, 2]\nb: [*a, *a]\n")["b"] == [[1, 2], [1, 2]]
