"""Phase monitoring, as far as the cache's alerts need it: the channel that they notify."""

from __future__ import annotations

from plantctl.model.step import Step
from plantctl.steps import alerting
from plantctl.steps.build import ensure
from plantctl.steps.context import Context
from plantctl.steps.labelled import LANE
from plantctl.steps.names import CHANNEL

STEPS: tuple[Step[Context], ...] = (
    ensure(
        id=CHANNEL,
        title="Create a notification channel",
        needs=("predeploy.project.apis",),
        lanes=LANE,
        resource=alerting.CHANNEL_RESOURCE,
        verify=alerting.verify_channel,
        expect_s=5,
    ),
)
