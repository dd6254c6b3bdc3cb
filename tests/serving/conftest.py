"""A model that writes by a rule, in memory, and behind a real HTTP server."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.tf_serving.fake_model import write_fake
from tests.tf_serving.model import Model
from tests.tf_serving.rest import serving


@pytest.fixture(scope="session")
def fake_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fake(tmp_path_factory.mktemp("fake") / "1")


@pytest.fixture(scope="session")
def fake_loaded(fake_folder: Path) -> Any:
    import tensorflow as tf

    return tf.saved_model.load(str(fake_folder))


@pytest.fixture(scope="session")
def url(fake_folder: Path) -> Iterator[str]:
    with serving(Model(fake_folder, "fake")) as url:
        yield url
