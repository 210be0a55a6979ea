"""An image store that is open to others, and a plane of instances over it."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from plantctl.sandbox.dataplane.image import ImageStore
from plantctl.sandbox.dataplane.places import remove_place_for
from plantctl.sandbox.dataplane.process import ProcessPlane
from tests.sandbox.dataplane.process_kit import mint


@pytest.fixture(scope="module")
def images() -> Iterator[ImageStore]:
    with tempfile.TemporaryDirectory(prefix="plantctl-test-") as directory:
        Path(directory).chmod(0o755)
        yield ImageStore(Path(directory))
        remove_place_for(Path(directory))


@pytest.fixture
def plane(images: ImageStore) -> Iterator[ProcessPlane]:
    plane = ProcessPlane(images.place, images, mint)
    yield plane
    plane.close(grace_s=0)
    assert not list(images.place.glob("runs/*"))
