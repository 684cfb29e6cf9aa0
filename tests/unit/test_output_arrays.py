"""What `run` writes."""

import numpy as np
import pytest

from sliceflow.cli.arrays import write_arrays
from sliceflow.errors import UserError


@pytest.mark.parametrize("name", ["y", "file", "ü" * 100, "x" * 65531, "a/b", "../y"])
def test_names_that_an_archive_holds(tmp_path, name):
    write_arrays(tmp_path / "y.npz", {name: np.arange(3)})
    with np.load(tmp_path / "y.npz") as content:
        assert content.files == [name]
        assert np.array_equal(content[name], np.arange(3))


@pytest.mark.parametrize("name", ["x" * 65532, "ü" * 40_000, "a\0b"])
def test_names_that_it_does_not_hold(tmp_path, name):
    with pytest.raises(UserError, match="name cannot stand"):
        write_arrays(tmp_path / "y.npz", {name: np.arange(3)})
    assert list(tmp_path.iterdir()) == []
    write_arrays(tmp_path / "y.npy", {name: np.arange(3)})
    assert np.array_equal(np.load(tmp_path / "y.npy"), np.arange(3))
