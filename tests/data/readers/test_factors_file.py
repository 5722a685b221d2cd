"""factors.csv as spreadsheets and people write it."""

import numpy as np
import pytest

from refvae_jax.data.readers.factors_file import read_factors
from refvae_jax.errors import UserError

IMAGES = ["a/0.png", "a/1.png", "b/2.png"]


@pytest.fixture
def read(tmp_path):
    """read(text, images=IMAGES) -> Factors of all images."""

    def factors(text, images=IMAGES):
        path = tmp_path / "factors.csv"
        path.write_text(text, encoding="utf-8")
        return read_factors(path, images, needed=images, allowed=images)

    return factors


def check(factors):
    assert factors.continuous_names == ("angle",)
    np.testing.assert_array_equal(factors.continuous[:, 0], [12.5, -3.25, 4])
    assert factors.categorical_names == {"hair": ("black", "dark red")}
    np.testing.assert_array_equal(factors.categorical[:, 0], [0, 1, 0])


POINTS = "path,angle,hair\na/0.png,12.5,black\na/1.png,-3.25,dark red\nb/2.png,4,black\n"


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_separators(read, capsys, separator):
    check(read(POINTS.replace(",", separator)))
    words = {",": "", ";": "semicolons between cells", "\t": "tabs between cells"}[separator]
    said = capsys.readouterr().out
    assert words in said if words else not said


@pytest.mark.parametrize("separator", [";", "\t"])
def test_decimal_commas(read, capsys, separator):
    check(read(POINTS.replace(",", separator).replace(".5", ",5").replace(".25", ",25")))
    assert "between cells and decimal commas in 'angle'" in capsys.readouterr().out


def test_quoted_commas_between_commas(read):
    with pytest.raises(UserError, match=r"'12,5' may be the number 12\.5 or a word: write numbers"):
        read(POINTS.replace("12.5", '"12,5"').replace("-3.25", ' "-3,25"'))
    with pytest.raises(UserError, match=r"'hair': '10,20' may be the number 10\.20 or a word"):
        read(POINTS.replace("black", '"10,20"').replace("dark red", '"30,40"'))
    with pytest.raises(UserError, match=r"'hair': '10,20' may be the number 10\.20 or a word"):
        read(POINTS.replace("black", '"10,20"'))
    check(read(POINTS.replace("12.5", '"12.5"')))
    names = read(POINTS.replace("dark red", '"10,20"').replace("black", '"red, 1"'))
    assert names.categorical_names == {"hair": ("10,20", "red, 1")}


def test_a_table_is_mentioned_once(read, capsys):
    for _ in range(2):
        read(POINTS.replace(",", ";"))
    assert capsys.readouterr().out.count("semicolons") == 1


def test_spaces_around_cells(read):
    check(read(POINTS.replace(",", " , ").replace("\n", " \n ")))
    check(read(POINTS.replace(",", " ;  ") + " ; ;\n"))


def test_backslashes_between_folders(read):
    check(read(POINTS.replace("/", "\\")))


def test_names_of_images_may_hold_separators_and_spaces(read):
    images = ["a;b/0, 1.png", " c/1.png"]
    factors = read('path,x;y\n"a;b/0, 1.png",1\n c/1.png,2\n', images)
    assert factors.continuous_names == ("x;y",)
    factors = read("path\tx\na;b/0, 1.png\t1\n c/1.png\t2\n", images)
    np.testing.assert_array_equal(factors.continuous[:, 0], [1, 2])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (",", "|", "commas, semicolons or tabs must separate it"),
        ("12.5", "12,5", "line 2: 4 cells where the first line has 3, with commas between them"),
        ("12.5", '"12,5"', "'12,5' has a decimal comma and '-3.25' a decimal point"),
        ("angle", " ", "column '': a factor's name must not be empty"),
    ],
)
def test_unclear_tables(read, old, new, message):
    with pytest.raises(UserError, match=message):
        read(POINTS.replace(old, new))


def test_thousands_or_decimals(read):
    with pytest.raises(UserError, match=r"'1,250' may be 1\.250 or 1250: write the numbers"):
        read("path;x\na/0.png;1,250\na/1.png;3\nb/2.png;-12,500\n")
    factors = read("path;x\na/0.png;1,250\na/1.png;3\nb/2.png;0,125\n")
    np.testing.assert_array_equal(factors.continuous[:, 0], [1.25, 3, 0.125])
