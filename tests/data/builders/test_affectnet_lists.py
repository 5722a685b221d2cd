"""AffectNet's lists: how they are read and divided, and what can be wrong."""

import numpy as np
import pytest

from refvae_jax.data.builders import affectnet_lists as lists
from refvae_jax.errors import UserError
from tests import drawn_faces


@pytest.mark.slow
def test_sizes_of_the_paper_where_there_are_as_many_faces():
    counts = (74_874, 134_415, 25_459, 14_090, 6_378, 3_803, 24_882, 3_750)  # Of the real lists.
    expression = np.repeat(np.arange(8, dtype=np.int8), counts)
    faces = lists.Faces([f"{i}.jpg" for i in range(len(expression))], expression, None)
    parts = lists.divide(faces)
    sizes = {name: len(rows) for name, rows in parts.items()}
    assert sizes == {
        "probe_fit": 3500,
        "validation": 3500,
        "unlabelled": 150_000,
        "reference": 10_000,
    }
    for name in ("probe_fit", "validation"):
        np.testing.assert_array_equal(np.bincount(expression[parts[name]]), [0] + 7 * [500])
    rows = np.concatenate(list(parts.values()))
    assert len(np.unique(rows)) == len(rows)
    left = np.array(counts[1:]) - 1000
    share = np.bincount(expression[parts["unlabelled"]])[1:] / left
    np.testing.assert_allclose(share, 150_000 / left.sum(), atol=0.02)
    assert len(lists.test_fold(faces)) == 3500


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({6: 11}, "line 2: expression '11' is no whole number from 0 to 10"),
        ({6: "-1"}, "expression '-1'"),
        ({6: "happy"}, "expression 'happy'"),
        ({5: ";".join(["1"] * 134)}, "not 68 pairs"),
        ({5: ";".join(["1"] * 135 + ["nan"])}, "not 68 pairs"),
        ({5: ""}, "line 2: the landmarks '' are not 68 pairs"),
    ],
)
def test_invalid_rows(tmp_path, change, message):
    row = ["a.jpg", 0, 0, 9, 9, drawn_faces.cell(drawn_faces.template()), 1, 0.1, 0.2]
    for place, value in change.items():
        row[place] = value
    drawn_faces.write_list(tmp_path / "training.csv", [row])
    with pytest.raises(UserError, match=message):
        lists.read_faces(tmp_path / "training.csv")


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"", "no column 'subDirectory_filePath'"),
        (b"subDirectory_filePath,expression\na.jpg,1\n", "no column 'facial_landmarks'"),
        (b"subDirectory_filePath,expression,facial_landmarks\na.jpg,1\n", "line 2: 2 cells"),
        (b"\xff\xfe\x00", "cannot be read as CSV"),
    ],
)
def test_invalid_lists(tmp_path, contents, message):
    (tmp_path / "training.csv").write_bytes(contents)
    with pytest.raises(UserError, match=message):
        lists.read_faces(tmp_path / "training.csv")
