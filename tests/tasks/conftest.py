"""A data folder with small sets, for the families that need one."""

import numpy as np
import pytest

from tasks import images

TEXT = "The quick brown fox jumps over the lazy dog.\n" * 600


def small_images(name, count=1_200):
    """Random images in the published shape, of which the class shows in the brightness."""
    random = np.random.default_rng(0)
    side, channels = images.SHAPES[name]

    def part(count):
        y = random.integers(0, 10, count).astype(np.uint8)
        return (20 * y[:, None, None, None] + random.integers(0, 50, (count, side, side, channels))).astype(np.uint8), y

    (x_train, y_train), (x_test, y_test) = part(count), part(100)
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty data folder."""
    monkeypatch.setenv("DISCOVER_DATA", str(tmp_path))
    return tmp_path


@pytest.fixture
def filled(folder):
    """A data folder with small sets."""
    for name in images.SHAPES:
        np.savez(folder / f"{name}.npz", **small_images(name))
    for name in ("newsgroups.txt", "text.txt"):
        (folder / name).write_text(TEXT)
    return folder
