"""The Dockerfile reader against docker's rules and words."""

import pytest

from plantctl.sandbox.dataplane.docker_words import DockerfileError, expand
from plantctl.sandbox.dataplane.dockerfile import Run, parse
from tests.sandbox.dataplane.tarballs import DOCKERFILE


def test_stages_and_the_config_of_the_last_one() -> None:
    parsed = parse(DOCKERFILE)
    assert [stage.name for stage in parsed.stages] == ["build", ""]
    last = parsed.last
    assert (last.workdir, last.user, last.exposed_ports) == ("/app", "10001:10001", ["8000/tcp"])
    assert (last.entrypoint, last.cmd) == (("python", "-m", "toy"), ("serve",))
    assert last.env["PATH"].startswith("/venv/bin:/usr/local/bin:")
    assert [(copy.from_stage, copy.sources, copy.destination) for copy in last.copies] == [
        ("build", ("/venv",), "/venv"),
        (None, ("toy",), "/app/toy"),
    ]


def test_all_that_a_line_may_hold() -> None:
    parsed = parse(
        "# syntax=docker/dockerfile:1\n"
        "ARG VERSION=3.12\n"
        "from --platform=linux/amd64 python:${VERSION}-slim as Base\n"
        "ARG VERSION\n"
        'LABEL a=1 \\\n  # a comment between\n\n  b="two words"\n'
        "ENV ONE=1 TWO=\"$ONE and 'x'\" THREE=a\\ b\n"
        "ENV OLD some words\n"
        "WORKDIR /srv\n"
        "WORKDIR app\n"
        "COPY --chown=1:1 --chmod=750 a.txt [b].txt ./\n"
        'COPY ["with space.txt", "."]\n'
        "STOPSIGNAL SIGINT\n"
        "HEALTHCHECK --interval=5s CMD curl localhost\n"
        "VOLUME /data\n"
        "RUN <<EOF\npip install x\nFOO bar\nEOF\n"
        "CMD exec python -m http.server $PORT\n"
        "FROM base\n"
        "ENTRYPOINT [\"x\"]\n"
    )  # fmt: skip
    first = parsed.stages[0]
    assert first.base == "python:3.12-slim"
    assert first.labels == {"a": "1", "b": "two words"}
    assert first.env | {"PATH": ""} == {"PATH": "", "ONE": "1", "TWO": " and 'x'", "THREE": "a b", "OLD": "some words"}
    assert first.workdir == "/srv/app"
    assert [(copy.destination, copy.chown, copy.mode) for copy in first.copies] == [
        ("/srv/app/", "1:1", 0o750),
        ("/srv/app", None, None),
    ]
    assert first.copies[1].sources == ("with space.txt",)
    assert (first.stop_signal, first.healthcheck, first.volumes) == ("SIGINT", "CMD curl localhost", ["/data"])
    assert any(isinstance(step, Run) and "FOO bar" in step.command for step in first.steps)
    assert first.cmd == ("/bin/sh", "-c", "exec python -m http.server $PORT")
    assert (parsed.last.workdir, parsed.last.entrypoint) == ("/srv/app", ("x",))
    assert parsed.last.cmd == (), "a new ENTRYPOINT drops the CMD that was inherited"


def test_build_argument_wins_over_default() -> None:
    text = "ARG V=1\nFROM x:$V\nARG W=2\nENV W=${W}\n"
    assert parse(text, {"V": "9", "W": "8"}).last.base == "x:9"
    assert parse(text, {"V": "9", "W": "8"}).last.env["W"] == "8"
    assert parse(text).last.env["W"] == "2"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("FROM x\n\nINSTALL y\n", "dockerfile parse error on line 3: unknown instruction: INSTALL"),
        ("RUN x\nFROM y\n", "dockerfile parse error on line 1: no build stage in current context"),
        ("# nothing\n", "file with no instructions"),
        ("ARG A=1\n", "no build stage in current context"),
        ("FROM a b\n", "line 1: FROM requires either one or three arguments"),
        ("FROM x\nCOPY a\n", "line 2: COPY requires at least two arguments, but only one was provided"),
        ("FROM x\nCOPY a b c\n", "the destination must be a directory and end with a /"),
        ("FROM x\nCOPY --fast a b\n", "line 2: unknown flag: --fast"),
        ("FROM x\nEXPOSE web\n", "line 2: invalid containerPort: web"),
        ("FROM x\nENV A=1 B\n", "line 2: Syntax error - can't find = in 'B'"),
        ("FROM x\nENV A=${B:=c}\n", "line 2: unsupported modifier in substitution"),
        ("FROM x\nADD https://example.com/a /a\n", "line 2: ADD of https://example.com/a is not supported"),
        ("FROM x\nRUN <<END\nnever ends\n", "line 2: unterminated heredoc"),
        ("FROM x\nSHELL bash\n", "SHELL requires the arguments to be in JSON form"),
        ("FROM x\nUSER\n", "USER requires at least one argument"),
    ],
)
def test_refused_with_line_and_words(text: str, message: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        parse(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("$A-${A}x", "1-1x"),
        ("${N:-d$A}", "d1"),
        ("${E:-d}|${E-d}", "d|"),
        ("${A:+y}${N:+y}", "y"),
        ("'$A'\"$A\"", "$A1"),
        (r"\$A", "$A"),
        ("${N-${A}}", "1"),
        ("$", "$"),
    ],
)
def test_substitution(word: str, value: str) -> None:
    assert expand(word, {"A": "1", "E": ""}) == value
