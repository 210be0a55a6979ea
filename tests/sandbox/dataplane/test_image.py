"""Builds: what lands in an image, what is refused, which environment runs it."""

import io
import os
import tarfile
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from plantctl.sandbox.dataplane.build_context import BuildError
from plantctl.sandbox.dataplane.image import ImageStore
from plantctl.sandbox.dataplane.places import remove_place_for
from tests.sandbox.dataplane.tarballs import DOCKERFILE, tar_gz, tar_gz_of, toy


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ImageStore]:
    yield ImageStore(tmp_path)
    remove_place_for(tmp_path)


def _build(store: ImageStore, dockerfile: str, files: dict[str, str]) -> Path:
    return store.get(store.build(tar_gz({"Dockerfile": dockerfile} | files)).digest).rootfs


def test_build_places_files_and_keeps_the_config(store: ImageStore) -> None:
    built = store.build(toy("print(1)\n"))
    image = store.get(built.digest)
    assert built.digest.startswith("sha256:")
    assert built.digest in store.list()
    assert (image.rootfs / "app/toy/__main__.py").read_text() == "print(1)\n"
    assert built.size_bytes == len("print(1)\n")
    assert image.config.entrypoint == ["python", "-m", "toy"]
    assert image.config.prefixes == ["/venv"]
    assert not (image.rootfs / "src").exists(), "files of the first stage are not in the image"
    log = "\n".join(built.log_lines)
    assert "Step 4/13 : RUN python -m venv /venv && /venv/bin/pip install" in log
    assert "not executed by the sandbox; /src/requirements.lock selects the Python environment" in log
    assert log.endswith(f"Successfully built {built.digest[7:19]}")
    store.delete(built.digest)
    assert store.list() == ()
    with pytest.raises(KeyError):
        store.get(built.digest)


def test_same_source_same_digest_whatever_the_time_and_place(store: ImageStore, tmp_path: Path) -> None:
    files = {"Dockerfile": "FROM scratch\nCOPY . /\n", "a": "1", "b/c": "2"}
    first = store.build(tar_gz(files, mtime=1)).digest
    path = tmp_path / "source.tar.gz"
    path.write_bytes(tar_gz(dict(reversed(files.items())), mtime=2_000_000))
    assert store.build(path).digest == first
    assert store.build(tar_gz(files | {"a": "x"})).digest != first
    assert store.build(tar_gz(files, modes={"a": 0o755})).digest != first
    assert store.build(tar_gz(files | {"Dockerfile": files["Dockerfile"] + "ENV A=1\n"})).digest != first
    assert len(store.list()) == 4


def test_a_lock_changes_the_digest(store: ImageStore) -> None:
    version = metadata.version("idna")
    assert store.build(toy("")).digest != store.build(toy("", lock=f"idna=={version}\n")).digest


def test_copy_rules(store: ImageStore) -> None:
    rootfs = _build(
        store,
        "FROM scratch AS one\nCOPY a.txt /etc/conf.d/a.txt\nFROM one AS two\nWORKDIR /w\n"
        "COPY *.txt texts/\nCOPY dir .\nCOPY dir/x.py renamed\nCOPY --chmod=700 dir/x.py ../up/../../top\n"
        "COPY --from=0 /etc /from\n",
        {"a.txt": "a", "b.txt": "b", "dir/x.py": "x", "dir/deep/y": "y", "dir/z.txt": "z"},
    )
    files = {path.relative_to(rootfs).as_posix() for path in rootfs.rglob("*") if path.is_file()}
    assert {name for name in files if "__pycache__" not in name} == {
        "etc/conf.d/a.txt",
        "w/texts/a.txt",
        "w/texts/b.txt",
        "w/x.py",
        "w/deep/y",
        "w/z.txt",
        "w/renamed",
        "top",
        "from/conf.d/a.txt",
    }
    assert (rootfs / "top").stat().st_mode & 0o700 == 0o500 | (0o200 & (rootfs / "top").stat().st_mode)


@pytest.mark.parametrize(
    ("copy", "message"),
    [
        ("COPY missing.txt /x", "COPY failed: file not found in build context or excluded by .dockerignore"),
        ("COPY secret.env /x", "COPY failed: file not found in build context or excluded by .dockerignore"),
        ("COPY *.nothing /x/", "COPY failed: no source files were specified"),
        ("COPY ../a.txt /x\nCOPY --from=early /gone /gone", "COPY failed: stat /gone: file does not exist"),
        ("COPY --from=later /x /x\nFROM x AS later", "COPY failed: invalid from flag value"),
        ("COPY --from=busy /dist /dist", "RUN is not executed by the sandbox"),
    ],
)
def test_copy_of_what_is_not_there_fails_the_build(store: ImageStore, copy: str, message: str) -> None:
    text = f"FROM scratch AS early\nFROM early AS busy\nRUN make /dist\nFROM scratch\n{copy}\n"
    with pytest.raises(BuildError, match=message.replace(".", r"\.")) as caught:
        store.build(tar_gz({"Dockerfile": text, "a.txt": "", "secret.env": "", ".dockerignore": "*.env\n"}))
    assert caught.value.log_lines[0].startswith("Step 1/")
    assert caught.value.log_lines[-1].startswith("ERROR: COPY failed")
    assert store.list() == ()


def test_dockerignore(store: ImageStore) -> None:
    rootfs = _build(
        store,
        "FROM scratch\nCOPY . /\n",
        {
            ".dockerignore": "# words\n**/*.log\nout\n!out/keep\n/top.txt\nd?r/[ab].x\nDockerfile\n.dockerignore\n",
            "a.log": "", "deep/er/b.log": "", "out/x": "", "out/keep": "", "top.txt": "", "sub/top.txt": "",
            "dir/a.x": "", "dir/c.x": "",
        },
    )  # fmt: skip
    files = {path.relative_to(rootfs).as_posix() for path in rootfs.rglob("*") if path.is_file()}
    assert files == {"out/keep", "sub/top.txt", "dir/c.x"}


def test_unknown_instruction_fails_with_its_line(store: ImageStore) -> None:
    with pytest.raises(BuildError) as caught:
        store.build(tar_gz({"Dockerfile": "FROM x\nFETCH y\n"}))
    assert str(caught.value) == "dockerfile parse error on line 2: unknown instruction: FETCH"
    assert caught.value.log_lines == (f"ERROR: {caught.value}",)


def test_other_dockerfile_and_none(store: ImageStore) -> None:
    source = tar_gz({"deploy/Dockerfile": "FROM scratch\nENV A=1\n"})
    assert store.build(source, dockerfile="deploy/Dockerfile").config.env == {"A": "1"}
    with pytest.raises(BuildError, match="unable to prepare context"):
        store.build(source)


def _member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    return member


@pytest.mark.parametrize(
    "members",
    [
        [_member("../outside")],
        [_member("/absolute")],
        [_member("a/../../outside")],
        [_member("link", tarfile.SYMTYPE, "/etc")],
        [_member("sub/link", tarfile.SYMTYPE, "../../etc")],
        [_member("link", tarfile.LNKTYPE, "../../etc/passwd")],
        [_member("device", tarfile.CHRTYPE)],
        [_member("pipe", tarfile.FIFOTYPE)],
        [_member("d", tarfile.SYMTYPE, "e"), _member("d/file")],
    ],
)
def test_unsafe_tarball_is_refused(store: ImageStore, tmp_path: Path, members: list[tarfile.TarInfo]) -> None:
    before = sorted(path for path in store.place.rglob("*"))
    with pytest.raises(BuildError, match="source has"):
        store.build(tar_gz_of(*members))
    assert sorted(path for path in store.place.rglob("*")) == before


def test_size_is_bounded_and_junk_is_refused(store: ImageStore) -> None:
    source = tar_gz({"Dockerfile": "FROM scratch\n", "zeros": "0" * 2_000_000})
    assert len(source) < 10_000
    with pytest.raises(BuildError, match="larger than 1000000 bytes"):
        store.build(source, max_bytes=1_000_000)
    for junk in (b"", b"PK\x03\x04", source[:500]):
        with pytest.raises(BuildError, match=r"not a readable tar\.gz"):
            store.build(junk)


def test_links_inside_stay_links_and_cannot_leave_the_image(store: ImageStore) -> None:
    link = tarfile.TarInfo("deep/er/link")
    link.type, link.linkname = tarfile.SYMTYPE, "../../Dockerfile"
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as archive:
        content = b"FROM scratch\nCOPY deep/er /\nCOPY Dockerfile /\n"
        file = tarfile.TarInfo("Dockerfile")
        file.size = len(content)
        archive.addfile(file, io.BytesIO(content))
        archive.addfile(link)
    rootfs = store.get(store.build(raw.getvalue()).digest).rootfs
    assert (rootfs / "link").is_symlink()
    assert (rootfs / "link").resolve() == (rootfs / "Dockerfile").resolve()


def test_lock_that_agrees_with_what_is_installed_is_linked(store: ImageStore) -> None:
    lock = f"# pins\nidna=={metadata.version('idna')} \\\n    --hash=sha256:00  \nnever==1 ; python_version<'3'\n"
    digest = store.build(toy("", lock=lock)).digest
    environment = store.environment(digest)
    assert environment.kind == "linked"
    site = next((environment.root / "lib").glob("python3.*")) / "site-packages"
    names = {path.name for path in site.iterdir()}
    assert "idna" in names
    assert "pytest" not in names, "nothing but what the lock names"
    assert store.packages(digest) == (("idna", metadata.version("idna")),)


def test_lock_that_misses_a_dependency_is_not_taken_for_agreeing(store: ImageStore) -> None:
    lock = f"--no-index\nrich=={metadata.version('rich')}\n"
    with pytest.raises(BuildError, match="pip install failed with exit code 1"):
        store.build(toy("", lock=lock))


def test_other_versions_come_from_pip_and_its_failure_fails_the_build(store: ImageStore, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "toydep-1.5-py3-none-any.whl", "w") as wheel:
        wheel.writestr("toydep.py", "VALUE = 15\n")
        wheel.writestr("toydep-1.5.dist-info/METADATA", "Metadata-Version: 2.1\nName: toydep\nVersion: 1.5\n")
        wheel.writestr("toydep-1.5.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("toydep-1.5.dist-info/RECORD", "")
    index = f"--no-index\n--find-links {tmp_path}\n"
    digest = store.build(toy("", lock=f"{index}toydep==1.5\n")).digest
    environment = store.environment(digest)
    assert environment.kind == "pip"
    assert store.packages(digest) == (("toydep", "1.5"),)
    assert next(environment.root.glob("lib/python3.*/site-packages/toydep.py")).read_text() == "VALUE = 15\n"
    with pytest.raises(BuildError, match="No matching distribution found for toydep==9") as caught:
        store.build(toy("", lock=f"{index}toydep==9\n"))
    assert any("Could not find a version" in line for line in caught.value.log_lines)


def test_missing_lock_file_fails_the_build(store: ImageStore) -> None:
    with pytest.raises(BuildError, match="Could not open requirements file"):
        store.build(toy("", dockerfile=DOCKERFILE.replace("COPY requirements.lock .\n", "")))


@pytest.mark.parametrize(
    "run",
    [
        "RUN --mount=type=bind,source=requirements.lock,target=/tmp/r.lock pip install -r /tmp/r.lock",
        "COPY requirements.lock /tmp/\nRUN cd /tmp && uv pip sync --system /tmp/requirements.lock",
        "ENV L=/tmp/r.lock\nCOPY requirements.lock $L\nRUN pip install --requirement=$L",
        'COPY requirements.lock /r\nRUN ["python", "-m", "pip", "install", "-r", "/r"]',
    ],
)
def test_ways_to_name_the_lock(store: ImageStore, run: str) -> None:
    version = metadata.version("idna")
    digest = store.build(toy("", lock=f"idna=={version}\n", dockerfile=f"FROM python:3.12\n{run}\n")).digest
    assert store.packages(digest) == (("idna", version),)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs processes as another user")
def test_under_a_closed_directory_images_lie_elsewhere(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    store = ImageStore(tmp_path / "home")
    try:
        assert not store.place.is_relative_to(tmp_path)
        assert ImageStore(tmp_path / "home").place == store.place
        rootfs = store.get(store.build(tar_gz({"Dockerfile": "FROM scratch\nCOPY Dockerfile /\n"})).digest).rootfs
        assert (rootfs / "Dockerfile").stat().st_mode & 0o444 == 0o444
    finally:
        remove_place_for(tmp_path / "home")
    assert not store.place.exists()
