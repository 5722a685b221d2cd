"""What the benchmarks print, as it stands in docs/speed.md."""

import pytest

from benchmarks import write_page

PAGE = "# Speed\n\n<!-- measured: training -->\nold\n<!-- end -->\n\nProse.\n"
SAID = """torch: 2.13.0, 2 threads
torch: 140.4 ms per step (fastest block 139.0)
torch: 280.0 ms of CPU time per step
torch: 1823.4 images/s
torch: peak memory 489 MB
ours: jax 0.12.0.1, 2 threads
ours: compile 7.0 s
ours: 1143.6 ms per step (fastest block 140.9)
ours: 271.5 ms of CPU time per step
ours: 1779.5 images/s
ours: peak memory 937 MB
ratio within a round: 0.79 to 1.21
ratio of CPU time 0.951
ratio within a round: 0.91 to 1.10
ratio 0.984
"""


def test_a_row_holds_what_was_printed():
    assert write_page.training_row(SAID) == (
        "0.12.0.1",
        "1,144 ms",
        "140 ms",
        "0.98 (0.91 to 1.10)",
        "0.95 (0.79 to 1.21)",
        "937 / 489 MB",
    )


def test_the_place_alone_changes_and_can_be_filled_again():
    page = write_page.filled(PAGE, "training", "new")
    assert page == "# Speed\n\n<!-- measured: training -->\n\nnew\n\n<!-- end -->\n\nProse.\n"
    assert write_page.filled(page, "training", "new") == page


def test_the_page_of_the_documentation_has_every_place():
    page = (write_page.ROOT / "docs/speed.md").read_text()
    for name in write_page.PLACES:
        write_page.filled(page, name, "")


@pytest.mark.parametrize(
    ("page", "words"),
    [("# Speed\n", "must have the place"), (PAGE, "nowhere: no such benchmark")],
)
def test_what_fails_is_named_and_the_page_stays(page, words, tmp_path, monkeypatch, capsys):
    def said_by(*command):
        raise write_page.Failed("nowhere: no such benchmark")

    monkeypatch.setattr(write_page, "said_by", said_by)
    path = tmp_path / "page.md"
    path.write_text(page)
    assert write_page.main(["--only", "training", f"--page={path}"]) == 2
    assert words in capsys.readouterr().err and path.read_text() == page
