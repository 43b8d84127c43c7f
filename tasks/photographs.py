"""Crops of the two photographs that ship with scikit-learn, grey, standardised."""

from __future__ import annotations

from functools import cache

import numpy as np

SIDE = 64


@cache
def _grey() -> tuple[np.ndarray, ...]:
    """Both photographs, f32[H, W], of mean 0 and deviation 1, at half resolution."""
    from sklearn.datasets import load_sample_images

    out = []
    for image in load_sample_images().images:
        grey = np.asarray(image, np.float32).mean(axis=-1)
        height, width = (n // 2 * 2 for n in grey.shape)
        small = grey[:height, :width].reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3))
        out.append((small - small.mean()) / small.std())
    return tuple(out)


@cache
def crops() -> np.ndarray:
    """Crops of 64x64 pixels that do not overlap, each standardised: f32[N, 64, 64]; those almost without structure are left out."""
    found = []
    for image in _grey():
        for top in range(0, image.shape[0] - SIDE + 1, SIDE):
            for left in range(0, image.shape[1] - SIDE + 1, SIDE):
                crop = image[top : top + SIDE, left : left + SIDE]
                if crop.std() > 0.2:
                    found.append((crop - crop.mean()) / crop.std())
    return np.stack(found).astype(np.float32)


@cache
def pixel_parts() -> dict[str, np.ndarray]:
    """Pixel numbers of each split: of every 2x2 block one is held out, in turn for validation and test."""
    rows, cols = np.divmod(np.arange(SIDE * SIDE), SIDE)
    held = (rows % 2 == 1) & (cols % 2 == 1)
    turn = (rows // 2 + cols // 2) % 2 == 0
    parts = {"train": ~held, "valid": held & turn, "test": held & ~turn}
    return {name: np.flatnonzero(chosen).astype(np.int32) for name, chosen in parts.items()}


@cache
def patches() -> dict[str, np.ndarray]:
    """8x8 patches, f32[N, 64]; whole strips of the photographs are held out."""
    parts: dict[str, list[np.ndarray]] = {"train": [], "valid": [], "test": []}
    for image in _grey():
        for k, top in enumerate(range(0, image.shape[0] - 8 + 1, 8)):
            name = {6: "valid", 7: "test"}.get(k % 8, "train")
            strip = image[top : top + 8]
            parts[name] += [strip[:, left : left + 8].reshape(64) for left in range(0, image.shape[1] - 8 + 1, 4)]
    return {name: np.stack(part).astype(np.float32) for name, part in parts.items()}
