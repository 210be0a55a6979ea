"""Addresses of Cloud Run services: the two that each has, and one for every tag."""

from __future__ import annotations

import base64
import hashlib

from plantctl.sandbox.service import Body, World

# as seen in Google's addresses; what is not here is made from the region's first letters (unverified)
REGION_CODES = {
    "us-central1": "uc", "us-east1": "ue", "us-east4": "uk", "us-east5": "ul", "us-west1": "uw", "us-west2": "wl",
    "us-west3": "wm", "us-west4": "wn", "northamerica-northeast1": "nn", "southamerica-east1": "rj",
    "europe-west1": "ew", "europe-west2": "nw", "europe-west3": "ey", "europe-west4": "ez", "europe-west6": "oa",
    "europe-north1": "lz", "europe-central2": "lm", "asia-east1": "de", "asia-east2": "df", "asia-northeast1": "an",
    "asia-northeast2": "dt", "asia-northeast3": "du", "asia-south1": "el", "asia-southeast1": "as",
    "asia-southeast2": "et", "australia-southeast1": "ts",
}  # fmt: skip
TAG_MARK = "---"


def hosts(world: World, name: str) -> tuple[str, str]:
    """Host of `uri` and the one made of project number and region, of `projects/p/locations/l/services/s`."""
    _, project, _, region, _, service = name.split("/")
    number = world.project_number(project)
    digest = base64.b32encode(hashlib.sha256(f"{number}/{region}".encode()).digest()).decode().lower()[:10]
    code = REGION_CODES.get(region, region[0] + region.split("-")[-1][0])
    return f"{service}-{digest}-{code}.a.run.app", f"{service}-{number}.{region}.run.app"


def put_addresses(world: World, body: Body) -> None:
    """Fill `uri` and `urls`, and `uri` of every tagged target in `trafficStatuses`."""
    short, long = hosts(world, body["name"])
    body["uri"], body["urls"] = f"https://{short}", [f"https://{long}", f"https://{short}"]
    if body.get("defaultUriDisabled"):
        body.pop("uri")
        body.pop("urls")
    for status in body.get("trafficStatuses", []):
        if status.get("tag"):
            status["uri"] = f"https://{status['tag']}{TAG_MARK}{short}"
