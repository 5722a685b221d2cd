"""Reads a split of any TFDS data set that has an image.

TensorFlow and TFDS, seconds each, are imported inside the functions only.
"""

import functools
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from refvae_jax.console import LOGGER
from refvae_jax.data.readers import resize
from refvae_jax.data.readers.division import check_enough
from refvae_jax.data.readers.partition import parse, resolve, select
from refvae_jax.data.readers.source import Factors, Reader, Source, categorise, make_factors
from refvae_jax.data.readers.tf_cpu import import_tensorflow
from refvae_jax.data.readers.tfds_builders import check_split, prepared_builder
from refvae_jax.errors import UserError

_OF_0_AND_1 = ("dsprites",)  # Sets whose white is 1, not 255.
_TRANSPOSED = ("emnist",)  # Sets whose rows are columns.
_BATCH = 1024  # Images decoded at a time: bounds the memory.


def open_set(source: Source, spare_dir: Path) -> Reader:
    """Opens a split of a TFDS set, see `open.open_source`."""
    import_tensorflow()
    import tensorflow_datasets as tfds

    builder = prepared_builder(tfds, source, spare_dir)
    splits = builder.info.splits
    expression = resolve(source.split, splits, source.hold_out, source.split_by)
    if expression != source.split:
        LOGGER.info(f"{source.name} lacks a split: {source.split} becomes {expression}")
    base, parts = parse(expression)
    check_split(builder, source._replace(split=base))
    features = builder.info.features
    _check_features(tfds, features, source)

    paths = {source.label, *source.factors, *_own_factors(features)}
    columns = _read_columns(tfds, builder, base, paths)
    label, class_names = _labels(tfds, builder, source, columns[source.label])
    kept = np.flatnonzero(~np.isin(label, _excluded(source, class_names)))
    rows = kept[select(label[kept], parts)]
    check_enough(rows, label[kept], source, splits, f"data set '{source.name}'")
    columns = {path: values[rows] for path, values in columns.items()}
    return Reader(
        num_channels=features["image"].shape[-1] or 3,  # Unknown: decoded as RGB.
        label=label[rows],
        class_names=class_names,
        factors=_factors(tfds, features, source, columns),
        data_path=str(builder.data_path),
        batches=lambda: _read_images(tfds, builder, source, base, rows, len(label)),
    )


def _feature(features: Any, path: str) -> Any:
    """The feature at a path such as "identity/Identity_No"; None if there is none."""
    for name in path.split("/"):
        inner = dict(features.items()) if hasattr(features, "items") else {}
        features = inner.get(name)
    return features


def _own_factors(features: Any) -> list[str]:
    """Paths of the entries of a feature dict "factors", in its order."""
    return [f"factors/{name}" for name in features["factors"]] if "factors" in features else []


def _check_features(tfds: ModuleType, features: Any, source: Source) -> None:
    has = dict(features.items()) if isinstance(features, tfds.features.FeaturesDict) else {}
    image = has.get("image")
    if not isinstance(image, tfds.features.Image) or image.np_dtype != np.uint8:
        raise UserError(
            f"Data set '{source.name}' cannot be used: it needs an 8-bit feature 'image', but "
            f"has {', '.join(has) or 'other features'}: choose another --config.data.name."
        )
    for field, path in (("label", source.label), *(("factors", p) for p in source.factors)):
        feature = _feature(features, path)
        if feature is None or feature.shape != ():
            raise UserError(
                f"Data set '{source.name}' has no single number, class or text '{path}', which "
                f"data.{field} names, but it has {', '.join(has)}: set --config.data.{field} to "
                f"one of them, with / between the levels of nested features."
            )


def _nested(paths: set[str]) -> dict:
    """{"a/b"} as {"a": {"b": True}}, as TFDS wants its partial decoding."""
    tree = {}
    for path in sorted(paths):
        *folders, name = path.split("/")
        functools.reduce(lambda inner, folder: inner.setdefault(folder, {}), folders, tree)[
            name
        ] = True
    return tree


def _examples(tfds: ModuleType, builder: Any, split: str, decoders: Any) -> Any:
    """The tf.data.Dataset of a split, always in the same order."""
    return builder.as_dataset(
        split=split,
        shuffle_files=False,  # The cache must not depend on chance.
        decoders=decoders,
        read_config=tfds.ReadConfig(try_autocache=False),
    )


def _read_columns(
    tfds: ModuleType, builder: Any, split: str, paths: set[str]
) -> dict[str, np.ndarray]:
    """Reads everything but the images: {path: [N]}."""
    decoders = tfds.decode.PartialDecoding(_nested(paths))
    parts = {path: [] for path in paths}
    for batch in _examples(tfds, builder, split, decoders).batch(_BATCH).as_numpy_iterator():
        for path, values in parts.items():
            values.append(functools.reduce(lambda inner, name: inner[name], path.split("/"), batch))
    return {path: np.concatenate(values) for path, values in parts.items()}


def _labels(
    tfds: ModuleType, builder: Any, source: Source, values: np.ndarray
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Returns (int32 [N], names by label) of the values of the label's feature."""
    feature = _feature(builder.info.features, source.label)
    if isinstance(feature, tfds.features.Text):
        # The number of a name must be the same in all splits.
        every = [
            _read_columns(tfds, builder, split, {source.label})[source.label]
            for split in builder.info.splits
        ]
        texts = np.unique(np.concatenate(every))
        return np.searchsorted(texts, values).astype(np.int32), _decoded(texts)
    names = tuple(feature.names) if isinstance(feature, tfds.features.ClassLabel) else ()
    if values.min() < 0:
        raise UserError(
            f"Split '{source.split}' of data set '{source.name}' holds images without a "
            "label: choose a labelled split."
        )
    return values.astype(np.int32), names


def _decoded(values: np.ndarray) -> tuple[str, ...]:
    return tuple(value.decode(errors="replace") for value in values)


def _excluded(source: Source, class_names: tuple[str, ...]) -> list[int]:
    """The labels of the names or numbers in source.exclude."""
    number = {name: label for label, name in enumerate(class_names)}
    unknown = [name for name in source.exclude if name not in number and not name.isdigit()]
    if unknown:
        raise UserError(
            f"data.exclude names {unknown[0]!r}, which is no label of data set '{source.name}'."
        )
    return [number[name] if name in number else int(name) for name in source.exclude]


def _factors(
    tfds: ModuleType, features: Any, source: Source, columns: dict[str, np.ndarray]
) -> Factors:
    """Numbers are continuous factors; classes, texts and truth values are categorical ones."""
    continuous, categorical, class_names = {}, {}, {}
    for path in (*_own_factors(features), *source.factors):
        feature, values, name = _feature(features, path), columns[path], path.split("/")[-1]
        if isinstance(feature, tfds.features.ClassLabel):
            categorical[name], class_names[name] = values.astype(np.int32), tuple(feature.names)
        elif isinstance(feature, tfds.features.Text):
            categorical[name], class_names[name] = categorise(np.array(_decoded(values)))
        elif feature.np_dtype == np.bool_:
            categorical[name], class_names[name] = values.astype(np.int32), ("no", "yes")
        else:
            continuous[name] = values.astype(np.float32)
    count = len(columns[source.label])
    return make_factors(continuous, categorical, class_names, count)


def _read_images(
    tfds: ModuleType, builder: Any, source: Source, base: str, rows: np.ndarray, count: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    tf = import_tensorflow()
    image_feature = builder.info.features["image"]
    decoders = tfds.decode.PartialDecoding(
        {"image": True}, decoders={"image": tfds.decode.SkipDecoding()}
    )
    wanted = np.zeros(count, bool)
    wanted[rows] = True

    def decode(example: Any, _: Any) -> tuple[Any, Any]:
        image = image_feature.decode_example(example["image"])
        if builder.name in _OF_0_AND_1:
            image = image * np.uint8(255)
        if builder.name in _TRANSPOSED:
            image = tf.transpose(image, (1, 0, 2))
        return _fitted(tf, image, source), tf.shape(image)[:2]

    examples = _examples(tfds, builder, base, decoders)
    dataset = tf.data.Dataset.zip(examples, tf.data.Dataset.from_tensor_slices(wanted))
    dataset = dataset.filter(lambda example, keep: keep)
    dataset = dataset.map(decode, num_parallel_calls=tf.data.AUTOTUNE).batch(_BATCH).prefetch(1)
    done = 0
    for image, size in dataset.as_numpy_iterator():
        largest = int(size.max())
        if source.crop == resize.PAD and largest > source.resolution:
            raise UserError(
                f"Images of data set '{source.name}' are up to {largest} pixels wide or high, but "
                f"data.resolution is {source.resolution}: {resize.advice_for(largest)}."
            )
        yield np.arange(done, done + len(image)), image
        done += len(image)
    if done != len(rows):
        raise UserError(
            f"{builder.data_path} holds {done} images where it declares {len(rows)}: delete it and "
            f"the set is prepared again."
        )


def _fitted(tf: ModuleType, image: Any, source: Source) -> Any:
    """`resize.fit` in TensorFlow."""
    side = source.resolution
    if source.crop == resize.PAD:
        # Centres; it would also crop a larger image, which the caller turns into an error.
        return tf.image.resize_with_crop_or_pad(image, side, side)
    height, width = tf.shape(image)[0], tf.shape(image)[1]
    square = tf.minimum(height, width)
    if source.crop != resize.WHOLE:
        square = tf.minimum(square, source.crop)
    image = tf.image.crop_to_bounding_box(
        image, (height - square) // 2, (width - square) // 2, square, square
    )
    resized = tf.image.resize(image, (side, side), "bilinear", antialias=True)
    return tf.cast(tf.round(resized), tf.uint8)
