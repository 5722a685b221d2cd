"""The front door `python -m refvae_jax VERB`."""

import importlib
import subprocess
import sys

import pytest

from refvae_jax import __main__, config_rules
from tests.conftest import ROOT


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_lists_every_verb_in_a_line(arguments, capsys):
    assert __main__.main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    for name, verb in __main__.VERBS.items():
        assert [line for line in lines if line.split()[:1] == [name] and verb.meaning in line]


def test_a_misspelt_verb_is_answered_with_the_nearest(capsys):
    assert __main__.main(["tabel", "runs"]) == 2
    assert "no verb 'tabel'. Did you mean 'table'?" in capsys.readouterr().err


def test_ctrl_c_is_one_sentence_and_status_130(capsys, monkeypatch):
    def interrupted(argv):
        raise KeyboardInterrupt

    monkeypatch.setattr(importlib.import_module("refvae_jax.fields"), "main", interrupted)
    assert __main__.main(["fields"]) == 130
    assert capsys.readouterr().err == "\ninterrupted; files that fields has written are whole\n"


@pytest.mark.parametrize("name", __main__.VERBS)
def test_every_verb_has_a_help_that_names_it(name, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["refvae_jax/__main__.py"])
    assert callable(importlib.import_module(__main__.VERBS[name].module).main)
    with pytest.raises(SystemExit, match="0"):
        __main__.main([name, "--help"])
    assert "usage: " in capsys.readouterr().out


def test_the_list_of_verbs_imports_none_of_them_and_reports_import_no_jax():
    program = (
        "import sys; from refvae_jax import __main__; __main__.main([])\n"
        "assert not {'jax', 'tensorflow', 'numpy'} & sys.modules.keys()\n"
        "from refvae_jax.reports import report\n"
        "assert not {'jax', 'tensorflow', 'scipy', 'sklearn'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=60)


def test_fields_are_all_listed_with_default_and_meaning(capsys):
    assert __main__.main(["fields"]) == 0
    out = capsys.readouterr().out
    lines = [line for line in out.splitlines() if line]
    assert [line.split()[0] for line in lines] == [field.name for field in config_rules.FIELDS]
    for field, line in zip(config_rules.FIELDS, lines, strict=True):
        assert repr(field.default) in line and line.endswith(field.meaning)
    assert out.count("\n\n") == 8  # Between the fields of no section and the 8 sections.


def test_fields_of_a_section(capsys):
    assert __main__.main(["fields", "optimizer"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 3 and all(line.startswith("optimizer.") for line in lines)
    assert __main__.main(["fields", "optimiser"]) == 2
    assert "Did you mean 'optimizer'?" in capsys.readouterr().err
