"""The spec of refvlm/pretrained/preprocessing.py: what the files beside weights say."""

import json
import shutil

import numpy as np
import pytest

from refvlm.checkpoint import CheckpointError
from refvlm.pretrained import shipped_model
from refvlm.pretrained.preprocessing import read_steps

from ..spec import contract, example

FILE = "preprocessor_config.json"


@pytest.mark.parametrize("name", ["fastvlm-tiny", "clip-tiny", "llava-tiny"])
@example
def test_read_steps_of_the_models_that_come_along(name):
    """Black and white become what they were trained on."""
    picture = np.zeros((9, 9, 3), np.uint8)
    assert np.abs(read_steps(shipped_model(name))(picture)).max() < 3


@contract
def test_read_steps_refuses_what_no_model_is_trained_on(tmp_path):
    """Deviations of another scale would be an answer about another picture."""
    said = json.loads((shipped_model("clip-tiny") / FILE).read_text())
    shutil.copytree(shipped_model("clip-tiny"), tmp_path / "clip")
    said["image_std"] = [0.001] * 3
    (tmp_path / "clip" / FILE).write_text(json.dumps(said))
    with pytest.raises(CheckpointError, match="of black and white, which no model"):
        read_steps(tmp_path / "clip")
