"""The TFDS data set `affectnet`: aligned faces that show expressions, and neutral ones.

    import refvae_jax.data.builders.affectnet  # Registers the name.
    tfds.load("affectnet", split="unlabelled")

Mollahosseini, Hasani, Mahoor: "AffectNet: A Database for Facial Expression, Valence, and Arousal
Computing in the Wild", 2017; prepared after Ruiz, Martinez, Binefa, Verbeek: "Learning Disentangled
Representations with Reference-Based Variational Autoencoders", section 5.1 and appendix A.3.2.

Its licence has it asked for and downloaded by hand. In downloads/manual/affectnet/ of the data
directory are looked for

    training.csv, validation.csv   there or in Manually_Annotated_file_lists/
    images                         below Manually_Annotated_Images/, in Manually_Annotated/ or not,
                                   or else right there, at the paths that the lists name
    reference/                     optional: neutral faces of your own
        landmarks.csv              with the columns path (below reference/) and landmarks (68 pairs
                                   x;y joined by ;): they are aligned as the others are. Without
                                   it all images in reference/ are taken for cropped already, and
                                   only resized

A later release that keeps labels and landmarks in NumPy files is not read. What is prepared stays:
after a change remove `affectnet` from the data directory.

| split        | faces                                                     | at most           |
|--------------|-----------------------------------------------------------|-------------------|
| `unlabelled` | the other training faces of the seven expressions         | 150,000           |
| `reference`  | reference/, or else the training faces labelled neutral   | 10,000            |
| `validation` | training faces, for choosing                              | 500 an expression |
| `probe_fit`  | training faces that the classifier learns from            | 500 an expression |
| `probe_test` | faces of validation.csv                                   | 500 an expression |

The paper's: the sizes but for `validation`, which it has none of; landmarks aligned to a mean shape
by Procrustes analysis, the image warped with them, cropped and resized. It gathered 10,000 neutral
faces of its own, for it found many of AffectNet's to be labelled wrongly: without reference/ those
of AffectNet stand in, which is chosen. So are: that no neutral face is unlabelled
(the paper does not say); validation.csv as the test fold (the paper draws both folds at random);
the resolution 64; a similarity as the transform; the crop, in which the longer side of the mean
shape, brows to chin or ear to ear, takes three quarters; a fifth of an expression's faces for a
fold where five folds of 500 are not there. All draws are by the hash of an image's path; one that
is in both lists counts for validation.csv alone, so that no image is in two splits.
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
# Of the 68 points. What is left in the image is the right eye of the one who is seen.
LEFT_EYE, RIGHT_EYE = slice(36, 42), slice(42, 48)
_SHAPES = 10_000  # Faces that the mean shape is taken of.
_LOOKED_FOR = 100  # Images whose place shows whether the folder of the images is right.


class Pictures(NamedTuple):
    """Images of one split: where they lie and how each is brought to [SIDE, SIDE, 3]."""

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
        del dl_manager  # By hand only.
        root = Path(self.data_dir_root, AFFECTNET_DIR)
        tested = lists.read_faces(find_list(root, "validation.csv"))
        training = lists.read_faces(find_list(root, "training.csv"), without=set(tested.path))
        parts = {split: training.take(rows) for split, rows in lists.divide(training).items()}
        neutral = parts.pop("reference")
        parts["probe_test"] = tested.take(lists.test_fold(tested))
        lists.check_classes(parts["probe_fit"], parts["probe_test"])
        images = find_images(root, training.path)
        # In the order of the hashes: the first are a random draw.
        shape = target_shape(parts["unlabelled"].landmarks[:_SHAPES])
        splits = {split: aligned(images, faces, shape) for split, faces in parts.items()}
        splits["reference"] = reference(root, images, neutral, shape)
        return {split: _examples(pictures) for split, pictures in splits.items()}

    def _generate_examples(self):
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
        f"Manually_Annotated_Images/ into {root}, and give the same command again."
    )


def find_images(root: Path, paths: list[str]) -> Path:
    """The folder that the paths of the lists start from.

    Raises:
      UserError: none of the first images is where it should be.
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
    """Where the landmarks are to lie in the crop, float64 [68, 2], from those of [N, 68, 2]."""
    shape = mean_shape(landmarks)
    return place(shape, left=LEFT_EYE, right=RIGHT_EYE, side=SIDE, share=SHARE)


def aligned(folder: Path, faces: Faces, shape: np.ndarray) -> Pictures:
    """The faces of a list, each brought to the shape."""

    def read(row):
        transform = procrustes(faces.landmarks[row], shape)
        return warp(load_image(folder / faces.path[row], "RGB"), transform, SIDE)

    return Pictures(folder, faces.path, faces.expression.tolist(), read)


def cropped(folder: Path, paths: list[str]) -> Pictures:
    """Neutral faces that are aligned already."""

    def read(row):
        return resize.fit(load_image(folder / paths[row], "RGB"), resize.WHOLE, SIDE)

    return Pictures(folder, paths, [0] * len(paths), read)


def reference(root: Path, images: Path, neutral: Faces, shape: np.ndarray) -> Pictures:
    """The reference faces: those in reference/, or else the neutral ones of training.csv.

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
