"""Phase backend, as far as the database needs it: the image. The service comes with its own phase."""

from __future__ import annotations

from plantctl.model.step import Step
from plantctl.steps import image
from plantctl.steps.context import Context

STEPS: tuple[Step[Context], ...] = (
    Step(
        id="backend.image.dockerfile",
        title="Create Dockerfile (multi-stage build)",
        check=image.check_dockerfile,
        apply=image.nothing,
        verify=image.verify_dockerfile,
        expect_s=1,
    ),
    Step(
        id=image.BUILD,
        title="Build image: `docker build -t gcr.io/PROJECT/plant-backend:v1.0.0 .`",
        needs=(
            "backend.image.dockerfile",
            "predeploy.storage.buckets",
            "predeploy.registry.repository",
            "predeploy.sa.builder",
            "predeploy.sa.roles",
        ),
        check=image.check_build,
        apply=image.apply_build,
        verify=image.verify_build,
        deadline_s=1800,
        expect_s=240,
    ),
    Step(
        id=image.PUSH,
        title="Push to Container Registry: `docker push ...`",
        needs=(image.BUILD,),
        check=image.check_push,
        apply=image.nothing,
        verify=image.verify_push,
        expect_s=1,
    ),
    Step(
        id="backend.image.scan",
        title="Scan image for vulnerabilities",
        needs=(image.PUSH,),
        check=image.check_scan,
        apply=image.apply_scan,
        verify=image.verify_scan,
        deadline_s=900,
        expect_s=60,
    ),
)
