"""The page of a report: whole, safe, readable to people and programs, and right."""

import html
import itertools
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

from refvae_jax import packed
from refvae_jax.evaluation.score import Score
from refvae_jax.files import append_json_line
from refvae_jax.reports import report
from tests.conftest import ROOT
from tests.reports.conftest import LAUNCH, SCORES, make_run

VOID = {"meta", "img", "source", "br", "hr", "link", "input"}
ADDRESSES = ("src", "srcset", "href", "xlink:href", "data", "action", "poster", "background")


class Page(HTMLParser):
    """The elements of a page, [(tag, attributes, tags around it)], and its texts."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.text, self.elements, self.around, self.texts = text, [], [], []
        self.feed(text)
        self.close()
        assert not self.around  # Everything is closed, in order.

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes), tuple(self.around)))
        if tag not in VOID:
            self.around.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes), tuple(self.around)))

    def handle_endtag(self, tag):
        assert self.around.pop() == tag, self.getpos()

    def handle_data(self, data):
        self.texts.append((tuple(self.around), " ".join(data.split())))

    def all(self, *tags):
        return [attributes for tag, attributes, _ in self.elements if tag in tags]

    def rows(self):
        """The texts of the cells of every table row, [[str]]."""
        rows = re.findall(r"<tr\b.*?</tr>", self.text, re.DOTALL)
        cells = [re.findall(r"<t[hd]\b[^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in rows]
        return [
            [" ".join(html.unescape(re.sub("<[^>]+>", " ", cell)).split()) for cell in row]
            for row in cells
        ]

    def row(self, start, number=0):
        """A row whose first cell begins so."""
        return [row for row in self.rows() if row and row[0].startswith(start)][number]


def page_of(*runs):
    out = runs[0].parent / "page.html"
    assert report.main([*map(str, runs), f"--out={out}"]) == 0
    return Page(out.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """The pages of one run, and of two."""
    folder = tmp_path_factory.mktemp("runs")
    one = make_run(folder / "one", fields={"seed": 1})
    more = [score._replace(value=score.value + 0.01) for score in SCORES]
    return page_of(one), page_of(one, make_run(folder / "two", more, fields={"seed": 2}))


def test_nothing_is_fetched(two):
    for page in two:
        for tag, attributes, _ in page.elements:
            assert tag not in ("script", "iframe", "object", "embed", "link", "base", "form")
            assert not any(name.startswith("on") for name in attributes)
            for name in ADDRESSES:
                address = attributes.get(name, "#")
                assert address.startswith(("#", "data:image/")), (tag, name)
        assert not re.search(r"@import|url\((?!#)|https?:", page.text)
        policies = [meta for meta in page.all("meta") if "http-equiv" in meta]
        assert [p["content"] for p in policies] == [
            "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
        ]


def test_programs_that_read_aloud_find_their_way(two):
    for page in two:
        (root,) = page.all("html")
        assert root["lang"] == "en"
        assert "width=device-width, initial-scale=1" in [m.get("content") for m in page.all("meta")]
        levels = [int(tag[1]) for tag, _, _ in page.elements if re.fullmatch("h[1-6]", tag)]
        assert levels[0] == 1 and levels.count(1) == 1
        assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
        assert len(page.all("main")) == len(page.all("nav")) == 1
        ids = [attributes["id"] for _, attributes, _ in page.elements if "id" in attributes]
        assert len(ids) == len(set(ids))
        for tag, attributes, around in page.elements:
            for name in ("aria-labelledby", "href", "xlink:href"):
                if name in attributes:
                    assert attributes[name].removeprefix("#") in ids
            if tag == "table":
                assert around[-1] == "div"
            if tag == "img":
                assert len(attributes["alt"]) > 20
            if tag == "svg":
                assert attributes.get("aria-label") or attributes.get("aria-hidden") == "true"
            if tag == "th":
                assert attributes["scope"] in ("col", "row", "rowgroup")
            if tag == "div" and "scroll" in attributes.get("class", ""):
                assert attributes["tabindex"] == "0" and attributes["role"] == "region"
        assert len(page.all("caption")) == len(page.all("table")) > 2


def test_scores_stand_beside_chance_untrained_and_paper(two):
    one, both = two
    assert one.row("content, paper's probe")[2:] == [".990", ".100", "", ".992", "↑ higher"]
    assert one.row("style, strong")[2:] == [".690", ".100", ".570", "", "↓ lower"]
    assert one.row("reconstruction/mse")[1:] == [".020", ".050", "", "", "↓ lower"]
    assert both.row("content, strong")[2:5] == [".930", ".940 +.010 better", ".100"]
    assert both.row("style, strong")[2:5] == [".690", ".700 +.010 worse", ".100"]


def test_what_was_trained_how_and_how_to_repeat_it(two):
    texts = [text for _, text in two[0].texts]
    for words in (
        "GM-VAE",
        "digits5k",
        "3,600 of 32 x 32 x 1",
        "600, with 256 images each",
        "42.7",
    ):
        assert words in texts
    assert LAUNCH["command"] in texts
    assert two[0].row("0") == ["0", LAUNCH["started"], "1 x cpu", *LAUNCH["versions"].values()]
    assert two[1].row("seed") == ["seed", "1", "2"]


def test_a_run_that_was_resumed_names_all_its_commands_and_versions(finished):
    folder = finished()
    resumed = LAUNCH | {"step": 300, "command": "python launch.py --config=other.py"}
    append_json_line(resumed | {"command": "python launch.py --lost"}, folder / "launches.jsonl")
    append_json_line(resumed, folder / "launches.jsonl")
    page = page_of(folder)
    assert "--lost" not in page.text  # It made no step that counts.
    assert f"{LAUNCH['command']}\npython launch.py --config=other.py" in page.text
    assert page.row("300")[0] == "300"


def test_whatever_users_and_data_are_named_is_text(finished):
    name = "<script>alert(1)</script>&\"'"
    scores = [Score(0.5, "linear_accuracy", "mean", "higher", 0.1, "z", "label", name)]
    scores += [Score(0.5, "mae", "mean", "lower", 0.6, "z", f"*`{name}`*")]
    folder = finished("a<b>&", scores, method="vae", fields={"data.dir": name})
    append_json_line({"step": 700, f"loss/{name}": 1.0}, folder / "metrics.jsonl")
    append_json_line(LAUNCH | {"step": 700, "command": name}, folder / "launches.jsonl")
    page = page_of(folder)
    assert not page.all("script") and page.text.count("alert(1)") > 4
    assert any(name in text for _, text in page.texts)


def test_a_run_that_is_not_finished_shows_what_there_is(finished):
    folder = finished()
    for name in ("results.json", "launches.jsonl", "metrics.jsonl"):
        (folder / name).unlink()
        Page(page_of(folder).text)
    shutil.rmtree(folder / "figures")
    shutil.rmtree(folder / "checkpoints")
    page = page_of(folder)
    texts = " ".join(text for _, text in page.texts)
    assert "This run is not scored yet." in texts and "was not recorded" in texts
    assert "python launch.py --config=configs/default.py" in texts
    assert not page.all("img") and "Curves" not in texts


def test_a_run_of_whose_images_nothing_is_known(finished):
    page = page_of(finished(scores=SCORES[4:5]))
    assert "Nothing is known of these images" in page.text
    assert page.row("reconstruction/mse")[1] == ".020"


def test_an_example_and_an_exported_folder_are_shown_without_curves(tmp_path):
    shutil.copytree(packed.packed_folder("example:digits"), tmp_path / "model")
    out = tmp_path / "page.html"
    assert report.main(["example:digits", str(tmp_path / "model"), f"--out={out}"]) == 0
    page = Page(out.read_text(encoding="utf-8"))
    assert page.row("content, paper's probe")[2:5] == [".953", ".953 +.000 same", ".114"]
    assert not page.all("img") and "Curves" not in [text for _, text in page.texts]


def test_a_figure_that_one_run_lacks_leaves_the_others_their_colours(finished):
    one, two = finished("one"), finished("two", fields={"seed": 2})
    (one / "figures" / "swaps.png").unlink()
    page = page_of(one, two)
    captions = re.findall(r"<figcaption><span class=\"key\">.*?--run-(\d).*?</span>", page.text)
    assert captions == ["1", "0", "1"]


def refusal(capsys, *arguments):
    assert report.main([*map(str, arguments)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    return line


def test_runs_on_other_data_are_refused_in_one_sentence(finished, tmp_path, capsys):
    one, out = finished("one"), tmp_path / "out.html"
    other = finished("other", fields={"data.name": "mnist"})
    assert "config.data.name is 'digits5k' and 'mnist': compare runs on the same data" in refusal(
        capsys, one, other, f"--out={out}"
    )
    changed = finished("changed", digest="xyz")
    assert f"{one} and {changed} were trained on other images" in refusal(
        capsys, one, changed, f"--out={out}"
    )
    assert not out.exists()


def test_mistakes_are_told_in_one_sentence(finished, tmp_path, capsys):
    run, out = finished(), f"--out={tmp_path}/out.html"
    assert "there is no such folder" in refusal(capsys, tmp_path / "none", out)
    assert "Choose another file with --out" in refusal(capsys, run, "--out=/proc/x/y.html")
    (run / "metrics.jsonl").write_text('{"step": 1, "lo')
    assert "metrics.jsonl is damaged" in refusal(capsys, run, out)
    (run / "metrics.jsonl").unlink()
    (run / "checkpoints" / "600" / "record" / "metadata").write_text("{")
    assert "Checkpoint 600" in refusal(capsys, run, out)
    (run / "results.json").write_text("{")
    assert "cannot be read" in refusal(capsys, run, out)


def test_a_folder_of_runs_is_all_of_them(finished, tmp_path):
    finished("one", fields={"seed": 1})
    finished("two", fields={"seed": 2})
    finished("three", fields={"seed": 3})
    assert report.main([str(tmp_path), str(tmp_path / "one"), f"--out={tmp_path / 'x.html'}"]) == 0
    text = (tmp_path / "x.html").read_text(encoding="utf-8")
    assert "<h1>3 runs on digits5k</h1>" in text and "GM-VAE (three)" in text


def test_the_templates_are_part_of_the_package():
    import configparser

    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    patterns = setup["options.package_data"]["refvae_jax"].replace(",", " ").split()
    package = ROOT / "refvae_jax"
    shipped = {path for pattern in patterns for path in package.glob(pattern)}
    needed = {p for p in package.rglob("*") if p.suffix in (".html", ".css", ".typed")}
    assert needed and needed <= shipped


@pytest.mark.slow
def test_every_run_ends_with_its_report(trained):
    text = (trained / "report.html").read_text(encoding="utf-8")
    assert len(text) < 5e6
    page = Page(text)
    value = json.loads((trained / "results.json").read_text())["scores"]["reconstruction/mse"]
    assert page.row("reconstruction/mse")[1] == f"{value['value']:.3f}".lstrip("0")
    assert len(page.all("img")) == 8 and "loss/model" in text
    assert "Versions it was trained with" in text


BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
# Measures a page in a frame of a given width from outside: the page itself may run no script.
FRAME = """<!doctype html><meta charset="utf-8"><body style="margin:0">
<iframe id="frame" style="width:{width}px;height:800px;border:0" srcdoc="{page}"></iframe><script>
onload = () => {{
  const page = frame.contentDocument, root = page.documentElement
  document.title = JSON.stringify({{
    beyond: root.scrollWidth - root.clientWidth,
    pictures: [...page.images].filter(image => image.naturalWidth > 1).length,
    plots: [...page.querySelectorAll(".panels svg")].filter(
      svg => svg.getBoundingClientRect().width > 200).length,
    boxes: [...page.querySelectorAll(".scroll")].filter(box => box.tabIndex === 0).length,
  }})
}}
</script>"""


@pytest.mark.slow
def test_a_browser_shows_it_at_the_width_of_a_desk_and_of_a_phone(two, tmp_path):
    """Where there is a Chromium: a browser is no Python package, so pip cannot bring one for CI."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip("no Chromium is installed")
    for page, width in ((two[0], 1280), (two[0], 375), (two[1], 375)):
        frame = tmp_path / "frame.html"
        frame.write_text(FRAME.format(width=width, page=html.escape(page.text)), encoding="utf-8")
        options = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={tmp_path}/user",
        ]
        done = subprocess.run(
            [browser, *options, "--dump-dom", frame.as_uri()],
            capture_output=True,
            text=True,
            timeout=120,
        )
        (title,) = re.findall("<title>({.*?})</title>", done.stdout)
        found = json.loads(html.unescape(title))
        assert found["beyond"] == 0  # Nothing reaches beyond the page.
        assert found["pictures"] == len(page.all("img")) > 0
        assert found["plots"] >= 2 and found["boxes"] == len(page.all("table"))
