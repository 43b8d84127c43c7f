"""The data sets: parts that share nothing, and scaling that has only seen the training part."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_digits

from tasks import data

SOURCES = {data.digits: load_digits, data.breast_cancer: load_breast_cancer}


@pytest.mark.parametrize("dataset", [data.digits, data.pooled_digits, data.breast_cancer])
def test_parts_are_disjoint_and_complete(dataset):
    rows = np.concatenate([dataset().part(split).row for split in ("train", "valid", "test")])
    assert sorted(rows) == list(range(len(rows)))


@pytest.mark.parametrize("dataset", SOURCES)
def test_every_part_is_scaled_by_the_training_part_alone(dataset):
    x, y = SOURCES[dataset](return_X_y=True)
    train = x[dataset().train.row]
    deviation = train.std(axis=0)
    deviation[deviation == 0] = 1
    for split in ("train", "valid", "test"):
        part = dataset().part(split)
        expected = np.clip((x[part.row] - train.mean(axis=0)) / deviation, -5, 5)
        np.testing.assert_allclose(part.x, expected, rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(part.y, y[part.row])


def test_pooled_digits_are_block_means():
    x, _ = load_digits(return_X_y=True)
    first_block = x.reshape(-1, 8, 8)[:, :2, :4].mean(axis=(1, 2))
    part = data.pooled_digits().train
    assert part.x.shape[1] == 8
    assert np.corrcoef(part.x[:, 0], first_block[part.row])[0, 1] > 0.999  # scaled, hence not equal; clipped, hence not 1


def test_all_classes_are_in_every_part():
    for split in ("train", "valid", "test"):
        assert set(data.digits().part(split).y) == set(range(10))


def test_unknown_split_is_refused():
    with pytest.raises(ValueError, match="split is \"?'?dev"):
        data.digits().part("dev")


def test_digits_are_those_of_the_library():
    for mine, theirs in zip(data._digits(), load_digits(return_X_y=True), strict=True):
        assert mine.dtype == theirs.dtype
        np.testing.assert_array_equal(mine, theirs)


def test_digits_are_read_without_the_library_they_come_with():
    """Every process that trains on them would wait for its import."""
    code = "import sys; from tasks import data; print(data.digits().train.x.shape, 'sklearn' in sys.modules)"
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(1181, 64) False"
