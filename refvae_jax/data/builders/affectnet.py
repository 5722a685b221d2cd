"""The TFDS data set `affectnet`: aligned faces that show expressions, and neutral ones.

    import refvae_jax.data.builders.affectnet  # Registers the name.
    tfds.load("affectnet", split="unlabelled")

Mollahosseini, Hasani, Mahoor: "AffectNet: A Database for Facial Expression, Valence, and Arousal
Computing in the Wild", 2017; prepared after Ruiz, Martinez, Binefa, Verbeek: "Learning Disentangled
Representations with Reference-Based Variational Autoencoders", section 5.1 and appendix A.3.2.

Its licence requires that you request it and download it yourself. In downloads/manual/affectnet/ of
the data directory belong

    training.csv, validation.csv   there or in Manually_Annotated_file_lists/
    images                         at the paths that the lists name, below there, below
                                   Manually_Annotated_Images/ or below
                                   Manually_Annotated/Manually_Annotated_Images/
    reference/                     optional: your own neutral faces
        landmarks.csv              optional: columns path (below reference/) and landmarks (68 pairs
                                   x;y joined by ;), to align these faces like the others. Without
                                   it the images of reference/ count as cropped and are only resized

Later releases, with labels and landmarks in NumPy files, are not supported. Prepared data stay as
they are: after a change of these files remove `affectnet` from the data directory.

| split        | faces                                                     | at most            |
|--------------|-----------------------------------------------------------|--------------------|
| `unlabelled` | the other training faces of the seven expressions         | 150,000            |
| `reference`  | reference/, or else the training faces labelled neutral   | 10,000             |
| `validation` | training faces, to choose the checkpoint                  | 500 per expression |
| `probe_fit`  | training faces that probes learn from                     | 500 per expression |
| `probe_test` | faces of validation.csv                                   | 500 per expression |

From the paper: the sizes, except that of `validation`, which it lacks; landmarks aligned to a mean
shape by Procrustes analysis, the image warped with them, cropped and resized. The paper collected
10,000 neutral faces of its own, because many of AffectNet's are labelled wrongly; without
reference/, AffectNet's are used (chosen). Also chosen: no neutral face is unlabelled (the paper
does not say); validation.csv as the test fold (the paper draws both folds at random); resolution
64; a similarity as the transform; a crop of which the longer side of the mean shape, brows to chin
or ear to ear, takes three quarters; a fifth of an expression's faces per fold where there are fewer
than five folds of 500. All draws are by the hash of an image's path; an image in both lists counts
for validation.csv only, so no image is in two splits.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from refvae_jax.data.builders import affectnet_lists as lists
from refvae_jax.data.builders.affectnet_lists import EXPRESSIONS, Faces
from refvae_jax.data.builders.alignment import mean_shape, place, procrustes, warp
from refvae_jax.data.readers import resize
from refvae_jax.data.readers.decode import load_image, read_each
from refvae_jax.data.readers.scan import scan
from refvae_jax.data.readers.source import MANUAL_DIR
from refvae_jax.errors import UserError

AFFECTNET_DIR = Path(MANUAL_DIR, "affectnet")
SIDE = 64
SHARE = 0.75  # Of the crop, that the mean shape takes; chosen.
# Of the 68 points; on the left of the image is the person's right eye.
LEFT_EYE, RIGHT_EYE = slice(36, 42), slice(42, 48)
_SHAPES = 10_000  # Faces whose mean shape is taken.
_LOOKED_FOR = 100  # Images, one of which must exist for the folder to be the right one.


class Pictures(NamedTuple):
    """Images of one split, and how each is read as [SIDE, SIDE, 3]."""

    folder: Path
    path: list[str]
    label: list[int]
    read: Callable[[int], np.ndarray]  # From the row.


class Affectnet(tfds.core.GeneratorBasedBuilder):
    """RGB uint8 64x64 faces, eyes and mouth at the same places, with the expression as label."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}  # noqa: RUF012

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(shape=(SIDE, SIDE, 3), encoding_format="png"),
            "label": tfds.features.ClassLabel(names=EXPRESSIONS),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description="Aligned faces of AffectNet: seven expressions, and neutral as reference.",
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        del dl_manager  # Downloaded by hand only.
        root = Path(self.data_dir_root, AFFECTNET_DIR)
        tested = lists.read_faces(find_list(root, "validation.csv"))
        training = lists.read_faces(find_list(root, "training.csv"), without=set(tested.path))
        parts = {split: training.take(rows) for split, rows in lists.divide(training).items()}
        neutral = parts.pop("reference")
        parts["probe_test"] = tested.take(lists.test_fold(tested))
        lists.check_classes(parts["probe_fit"], parts["probe_test"])
        images = find_images(root, training.path)
        # They are in the order of the hashes, so the first are a random draw.
        shape = target_shape(parts["unlabelled"].landmarks[:_SHAPES])
        splits = {split: aligned(images, faces, shape) for split, faces in parts.items()}
        splits["reference"] = reference(root, images, neutral, shape)
        return {split: _examples(pictures) for split, pictures in splits.items()}

    def _generate_examples(self) -> Iterator[tuple[str, dict[str, Any]]]:
        raise NotImplementedError("The splits come with their generators.")


def find_list(root: Path, name: str) -> Path:
    """The path of training.csv or validation.csv.

    Raises:
      UserError: it is not there.
    """
    for path in (root / "Manually_Annotated_file_lists" / name, root / name):
        if path.is_file():
            return path
    raise UserError(
        f"{root} holds no {name}: ask for AffectNet at http://mohammadmahoor.com/affectnet/, put "
        f"its folders Manually_Annotated_file_lists/ (training.csv, validation.csv) and "
        f"Manually_Annotated_Images/ into {root}, and run the same command again."
    )


def find_images(root: Path, paths: list[str]) -> Path:
    """The folder that the paths of the lists start from.

    Raises:
      UserError: it holds none of the first images.
    """
    name = "Manually_Annotated_Images"
    folders = (root / name, root / "Manually_Annotated" / name)
    folder = next((folder for folder in folders if folder.is_dir()), root)
    if not any((folder / path).exists() for path in paths[:_LOOKED_FOR]):
        raise UserError(
            f"{folder} holds none of the first images that training.csv names, such as {paths[0]}: "
            f"unpack AffectNet's Manually_Annotated_Images/ into {root}."
        )
    return folder


def target_shape(landmarks: np.ndarray) -> np.ndarray:
    """Where the landmarks belong in the crop, float64 [68, 2], from those of faces [N, 68, 2]."""
    shape = mean_shape(landmarks)
    return place(shape, left=LEFT_EYE, right=RIGHT_EYE, side=SIDE, share=SHARE)


def aligned(folder: Path, faces: Faces, shape: np.ndarray) -> Pictures:
    """The faces of a list, each aligned to the shape."""

    def read(row: int) -> np.ndarray:
        transform = procrustes(faces.landmarks[row], shape)
        return warp(load_image(folder / faces.path[row], "RGB"), transform, SIDE)

    return Pictures(folder, faces.path, faces.expression.tolist(), read)


def cropped(folder: Path, paths: list[str]) -> Pictures:
    """Neutral faces that are aligned already."""

    def read(row: int) -> np.ndarray:
        return resize.fit(load_image(folder / paths[row], "RGB"), resize.WHOLE, SIDE)

    return Pictures(folder, paths, [0] * len(paths), read)


def reference(root: Path, images: Path, neutral: Faces, shape: np.ndarray) -> Pictures:
    """The reference faces: those in reference/, or else the neutral faces of training.csv.

    Raises:
      UserError: there are none.
    """
    own = root / "reference"
    if not own.is_dir():
        found = aligned(images, neutral, shape)
    elif (own / "landmarks.csv").is_file():
        faces = lists.read_reference(own / "landmarks.csv")
        found = aligned(own, faces.take(lists.drawn(faces.path)[: lists.REFERENCE]), shape)
    else:
        paths = list(scan(own).files)
        found = cropped(own, [paths[row] for row in lists.drawn(paths)[: lists.REFERENCE]])
    if not found.path:
        raise UserError(
            f"There are no reference faces: training.csv has none with expression 0, neutral, and "
            f"{own} holds none either: put neutral faces there, cropped or with a landmarks.csv."
        )
    return found


def _examples(pictures: Pictures) -> Iterator[tuple[str, dict[str, Any]]]:
    for rows, found in read_each(pictures.path, pictures.read, pictures.folder):
        for row, image in zip(rows, found, strict=True):
            yield pictures.path[row], {"image": image, "label": pictures.label[row]}
