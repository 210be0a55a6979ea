"""Cloud Monitoring v3: notification channels and their descriptors. Nothing is delivered."""

from __future__ import annotations

from plantctl.sandbox import errors, standard
from plantctl.sandbox.service import Body, Call
from plantctl.sandbox.services.monitoring import check_labels, listed, number, service

CHANNELS = "monitoring.projects.notificationChannels"
DESCRIPTORS = "monitoring.projects.notificationChannelDescriptors"
READ_ONLY = ("name", "creationRecord", "mutationRecords", "verificationStatus")

# type -> display name, required labels, secret labels (Monitoring docs, "channel descriptors"; a part of the list)
TYPES: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "email": ("Email", ("email_address",), ()),
    "pagerduty": ("PagerDuty", (), ("service_key",)),
    "pubsub": ("Cloud Pub/Sub", ("topic",), ()),
    "slack": ("Slack", ("channel_name",), ("auth_token",)),
    "sms": ("SMS", ("number",), ()),
    "webhook_basicauth": ("Webhook with Basic authentication", ("url", "username"), ("password",)),
    "webhook_tokenauth": ("Webhook with Token authentication", ("url",), ()),
}
OBSCURED = "**********"
"""Secret labels are not read back (gcp-edge, read-back differences); how many asterisks is unverified."""


@service.method(f"{CHANNELS}.create")
def create_channel(call: Call) -> Body:
    """Enabled unless said otherwise; records carry no account (recorded exchange). sms waits for its code."""
    project = call.name().split("/")[1]
    name = f"projects/{project}/notificationChannels/{number()}"
    record = {"mutateTime": call.clock.rfc3339()}
    body = {**_given(call), "name": name, "creationRecord": record, "mutationRecords": [record]}
    if body.get("type") == "sms":
        body["verificationStatus"] = "UNVERIFIED"
    return _put(call, body)


@service.method(f"{CHANNELS}.get")
def get_channel(call: Call) -> Body:
    """One channel."""
    return _found(call)


@service.method(f"{CHANNELS}.list")
def list_channels(call: Call) -> Body:
    """By filter, with `totalSize`."""
    return listed(call, "notificationChannels")


@service.method(f"{CHANNELS}.patch")
def patch_channel(call: Call) -> Body:
    """The masked fields; the type stays (unverified: how a change of it is refused)."""
    live = _found(call)
    body = standard.masked(live, _given(call), str(call.params.get("updateMask") or ""))
    if body.get("type") != live["type"]:
        raise errors.invalid("The type of a notification channel cannot be changed.", "notification_channel.type")
    records = [*live["mutationRecords"], {"mutateTime": call.clock.rfc3339()}]
    return _put(call, {**body, "mutationRecords": records[-10:]})


@service.method(f"{CHANNELS}.delete")
def delete_channel(call: Call) -> Body:
    """Refused while a policy names it, unless `force` takes it out of them."""
    body = _found(call)
    name = str(body["name"])
    prefix = f"monitoring/{name.rsplit('/', 2)[0]}/alertPolicies/"
    users = [(key, one) for key, one in call.store.list(prefix) if name in one.get("notificationChannels", [])]
    if users and not call.params.get("force"):  # unverified: the words
        raise errors.failed_precondition(
            f"Cannot delete notification channel {name}: it is used by the alerting policy {users[0][1]['name']}."
        )
    for key, policy in users:
        left = [one for one in policy["notificationChannels"] if one != name]
        call.store.put(key, {**policy, "notificationChannels": left})
    call.store.delete(f"monitoring/{name}")
    return {}


@service.method(f"{DESCRIPTORS}.list")
def list_descriptors(call: Call) -> Body:
    """The types that channels can have here."""
    found = [_descriptor(call.name(), kind) for kind in TYPES]
    return standard.page(found, call.params, "channelDescriptors")


@service.method(f"{DESCRIPTORS}.get")
def get_descriptor(call: Call) -> Body:
    """One type."""
    parent, _, kind = call.name().rsplit("/", 2)
    if kind not in TYPES:
        raise errors.not_found(f"Cannot find notification channel descriptor {kind}.")
    return _descriptor(parent, kind)


def _descriptor(parent: str, kind: str) -> Body:
    display, labels, secret = TYPES[kind]
    return {
        "name": f"{parent}/notificationChannelDescriptors/{kind}",
        "type": kind,
        "displayName": display,
        "labels": [{"key": key} for key in (*labels, *secret)],
        "launchStage": "GA",
    }


def _given(call: Call) -> Body:
    return {key: value for key, value in call.body.items() if key not in READ_ONLY and value is not None}


def _found(call: Call) -> Body:
    body = call.store.get(f"monitoring/{call.name()}")
    if body is None:  # unverified: no recording has these words
        raise errors.not_found(f"Cannot find notification channel with id {call.name().rsplit('/', 1)[-1]}.")
    return body


def _put(call: Call, body: Body) -> Body:
    kind = str(body.get("type", ""))
    if kind not in TYPES:
        raise _bad("type", kind, "there is no notification channel descriptor of this type")
    _, required, secret = TYPES[kind]
    labels = dict(body.get("labels") or {})
    for key in required:
        if not labels.get(key):
            raise _bad("labels", "", f'the label "{key}" is required')
    unknown = sorted(set(labels) - {*required, *secret} - ({"team"} if kind == "slack" else set()))
    if unknown:
        raise _bad("labels", unknown[0], f"a channel of type {kind} has no such label")
    if kind == "email" and "@" not in labels["email_address"]:
        raise _bad("labels", labels["email_address"], "not an e-mail address")
    check_labels(body, "notification_channel")
    body["labels"] = {key: OBSCURED if key in secret else value for key, value in labels.items()}
    return call.store.put(f"monitoring/{body['name']}", {"enabled": True, **body})


def _bad(field: str, value: object, why: str) -> errors.ApiError:
    where = f"notification_channel.{field}"
    return errors.invalid(f'Field {where} had an invalid value of "{value}": {why}.', where)
