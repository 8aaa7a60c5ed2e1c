"""The spec of the wheel: what is installed elsewhere works there, on its own."""

import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

from refvlm.pretrained.shipped import SHIPPED

from .impl import homes
from .spec import law

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "book" / "images" / "shapes.png"


def python(*arguments, cwd, path=None, status=0):
    """What a Python that knows nothing of this checkout prints."""
    variables = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    if path is not None:
        variables["PYTHONPATH"] = str(path)
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env=variables,
        capture_output=True,
        text=True,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with the wheel and the source distribution."""
    folder = tmp_path_factory.mktemp("dist")
    python("-m", "hatchling", "build", "-d", folder, cwd=ROOT)
    return folder


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """A folder with the wheel's contents, as an installer lays them out."""
    folder = tmp_path_factory.mktemp("a site with a space")
    (wheel,) = built.glob("*.whl")
    options = "--no-deps", "--no-index", "--disable-pip-version-check", "--quiet"
    python("-m", "pip", "install", *options, "--target", folder, wheel, cwd=folder)
    return folder


def refvlm(*arguments, installed, cwd, status=0):
    return python("-m", "refvlm", *arguments, cwd=cwd, path=installed, status=status)


@law
def test_wheel_is_imported_from_where_it_was_installed(installed, tmp_path):
    """A guard on this file: the checkout has no say in what follows."""
    said = python(
        "-c", "import refvlm; print(refvlm.__file__)", cwd=tmp_path, path=installed
    )
    assert Path(said.strip()).is_relative_to(installed)


@law
def test_wheel_describes_and_answers_from_any_folder(installed, tmp_path):
    """The weights come along: the same words as in the checkout."""
    told = refvlm("describe", PICTURE, installed=installed, cwd=tmp_path)
    assert told == python("-m", "refvlm", "describe", PICTURE, cwd=ROOT)
    question = "is the blue circle above the red cross?"
    assert (
        refvlm("ask", PICTURE, question, installed=installed, cwd=tmp_path) == "yes\n"
    )


@law
def test_wheel_scores_all_of_its_models(installed, tmp_path):
    """`score` finds them by name's default and by folder."""
    for model in SHIPPED:
        folder = installed / "refvlm" / "weights" / model
        told = refvlm("score", folder, "--scenes", 3, installed=installed, cwd=tmp_path)
        assert "%" in told


@law
def test_wheel_brings_the_spec(installed, tmp_path):
    """`refvlm spec` holds the laws against a reader's file, with recorded oracles."""
    laws = refvlm("spec", "--laws", installed=installed, cwd=tmp_path)
    assert "A higher score never gets a lower probability." in laws
    refvlm("spec", "-k", "one_look or softmax", installed=installed, cwd=tmp_path)
    mine = tmp_path / "mine.py"
    mine.write_text("import numpy as np\ndef relu(x):\n    return np.maximum(x, 0)\n")
    held = refvlm("spec", "--impl", "mine.py", installed=installed, cwd=tmp_path)
    assert "relu: " in held
    mine.write_text("def relu(x):\n    return x\n")
    broken = refvlm("spec", "--impl", mine, installed=installed, cwd=tmp_path, status=1)
    assert "BREAKS" in broken


@law
def test_wheel_brings_the_laws_of_every_home(installed):
    """Wherever `--impl` can replace a function, the laws about it are installed."""
    missing = [
        place
        for place in (
            homes.tests_of(home).relative_to(homes.TESTS) for home in homes.HOMES
        )
        if not (installed / "refvlm" / "spec" / place).exists()
    ]
    assert missing == []


@law
def test_wheel_holds_the_package_and_nothing_beside_it(built):
    """One top-level package, typed, without caches."""
    (wheel,) = built.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"refvlm"}
    assert "refvlm/py.typed" in names
    (scripts,) = (name for name in names if name.endswith("entry_points.txt"))
    told = zipfile.ZipFile(wheel).read(scripts).decode()
    assert "refvlm = refvlm.__main__:main" in told
    assert not [name for name in names if "__pycache__" in name]


@law
def test_editable_install_works_beside_the_checkout(tmp_path):
    """README's own install: where the folder of the checkout is itself named refvlm,
    the package is found and not that folder, and the book's helpers and tests are."""
    target = "-t", "wheel:editable", "-d", tmp_path / "dist"
    python("-m", "hatchling", "build", *target, cwd=ROOT)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    beside = tmp_path / "beside"
    beside.mkdir()
    (beside / "refvlm").symlink_to(ROOT)
    program = (
        f"import site, sys; sys.path.append({sysconfig.get_path('purelib')!r}); "
        f"site.addsitedir({str(tmp_path / 'site')!r}); import refvlm, "
        "refvlm_book, tests.train.toy; print(refvlm.load.__name__, refvlm.__file__)"
    )
    told = python("-S", "-c", program, cwd=beside)  # -S: of .venv only its packages
    assert told == f"load {ROOT / 'refvlm' / '__init__.py'}\n"


@law
def test_source_distribution_has_the_spec_the_weights_and_the_chapters(built):
    """Whoever has it can do all that the README says."""
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    assert {
        "tests/ops/test_probability.py",
        "weights/fastvlm-tiny/model.safetensors",
        "book/attention.md",
        "book/_lib/refvlm_book/figures.py",
        "Makefile",
        "constraints.txt",
    } <= names
