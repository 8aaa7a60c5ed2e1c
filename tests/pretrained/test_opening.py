"""The spec of refvlm/pretrained/opening.py: one door for every family."""

import json

import pytest

import refvlm
from refvlm.checkpoint import CheckpointError
from refvlm.models.fields import ConfigError
from refvlm.pretrained import CLIP, FAMILIES, VLM, shipped_model
from refvlm.pretrained.shipped import SHIPPED

from ..spec import contract, example, law


@example
@pytest.mark.parametrize("name, family", [("fastvlm-tiny", VLM), ("clip-tiny", CLIP)])
def test_load_makes_of_a_directory_what_its_config_says(name, family):
    """The caller need not know what is in a folder to open it."""
    assert type(refvlm.load(shipped_model(name))) is family
    assert type(refvlm.load(str(shipped_model(name)))) is family


def rows():
    """(model_type, architecture, class) of each model of the table."""
    for kind, family in sorted(FAMILIES.items()):
        kinds = family if isinstance(family, dict) else {None: family}
        yield from ((kind, name, kinds[name]) for name in kinds)


@law
@pytest.mark.parametrize("kind, name, family", [*rows()])
def test_load_opens_every_family_of_the_table(
    tmp_path, monkeypatch, kind, name, family
):
    """Each is asked with the folder, what its config.json says, and the dtype."""
    document = {"model_type": kind, "architectures": [name], "more": 1}
    (tmp_path / "config.json").write_text(json.dumps(document))
    monkeypatch.setattr(family, "open", lambda *given: given)
    assert refvlm.load(tmp_path, "float64") == (tmp_path, document, "float64")


@contract
@pytest.mark.parametrize("kind", ["siglip", None, ["clip"], 3])
def test_load_names_the_families_that_it_knows(tmp_path, kind):
    """Of another model, the error says which it is and which could be opened."""
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    with pytest.raises(ConfigError) as caught:
        refvlm.load(tmp_path)
    told = str(caught.value)
    assert told.startswith(f"{tmp_path / 'config.json'}: model_type is {kind!r}, but")
    known = " or ".join(map(repr, FAMILIES))
    assert f"only {known} is implemented" in told


@contract
def test_load_refuses_what_is_no_checkpoint(tmp_path):
    """No directory, and one without a configuration."""
    with pytest.raises(CheckpointError, match="not a directory"):
        refvlm.load(tmp_path / "nothing")
    with pytest.raises(CheckpointError, match="config.json"):
        refvlm.load(tmp_path)


@law
@pytest.mark.parametrize("name", SHIPPED)
def test_models_that_come_along_are_opened_by_name(name, tmp_path, monkeypatch):
    """From any folder, and with the slash of a folder; one of that name goes first."""
    monkeypatch.chdir(tmp_path)
    for given in (name, f"{name}/"):
        assert refvlm.load(given).directory == shipped_model(name)
    with pytest.raises(CheckpointError, match="is not a directory"):
        refvlm.load(f"./{name}/")
    (tmp_path / name).mkdir()
    with pytest.raises(CheckpointError, match="config.json"):
        refvlm.load(name)


@contract
@pytest.mark.parametrize(
    "kind",
    ["idefics", "idefics2", "idefics3", "flamingo", "open_flamingo", "vipllava"],
)
def test_load_refuses_relatives_by_name(tmp_path, kind):
    """A model that the book speaks of is not lost in a list of all that is read."""
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    with pytest.raises(ConfigError, match=f"'{kind}': .*take a LLaVA-1.5, such as"):
        refvlm.load(tmp_path)
