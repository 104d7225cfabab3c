"""Data that cannot be trained on: exit code 3, one line with numbers, before Ray starts; and `rlgan data inspect`."""

import pytest

TRAIN = ("train", "seqgan")
pytestmark = pytest.mark.usefixtures("no_ray")

FILES = {
    "missing": (None, "cannot be read (No such file or directory)"),
    "empty": (b"", "holds no sequences (0 read)"),
    "only blanks": (b"\n  \n\t\n", "holds no sequences (3 read, 3 blank)"),
    "less than a batch": (
        b"".join(b"a b%d c\n" % i for i in range(20)),
        "18 training sequences (2 held out) do not fill one batch of 64",
    ),
    "not UTF-8": (b"good line\nbad \xff line\n" * 100, "line 2, byte 4 from 0 (byte 14 of the file"),
    "UTF-16": ("a b c\n".encode("utf-16") * 100, "is UTF-16 or UTF-32"),
    "UTF-16 without a mark": ("a b c\n".encode("utf-16-le") * 100, "are NUL"),
    "gzip": (b"\x1f\x8b\x08" + bytes(200), "is a gzip file; gunzip it"),
    "a special token": (b"a <end> b\n" * 100, "the text holds <end>"),
}


def refused(said, message) -> None:
    """One line on standard error, exit code 3, no Ray."""
    assert said.code == 3, said
    assert said.err.startswith("rlgan: ") and said.err.count("\n") == 1, said.err
    assert message in said.err


@pytest.mark.parametrize("content, message", FILES.values(), ids=FILES)
def test_a_file_that_cannot_be_trained_on(content, message, rlgan, tmp_path):
    path = tmp_path / "data.txt"
    if content is not None:
        path.write_bytes(content)
    refused(rlgan(*TRAIN, "--data", path, "--run-dir", tmp_path / "run"), message)
    assert not (tmp_path / "run" / "config.yaml").exists(), "the directory holds no run"


def test_fewer_oracle_sequences_than_a_batch(rlgan, tmp_path):
    said = rlgan(*TRAIN, "--oracle-sequences", "50", "--run-dir", tmp_path / "run")
    refused(said, "--oracle-sequences: 50 sequences do not fill one batch of 64")


def test_a_directory_is_no_file(rlgan, tmp_path):
    refused(rlgan(*TRAIN, "--data", tmp_path, "--run-dir", tmp_path / "run"), f"{tmp_path}: cannot be read")


def test_inspect_counts(rlgan, tmp_path):
    path = tmp_path / "data.txt"
    path.write_text("a b\n\na b\na c d\n")
    said = rlgan("data", "inspect", path)
    assert said.code == 0 and said.err == ""
    lines = {line[:16].strip(): line[16:].strip() for line in said.out.splitlines()}
    assert lines["lines read"] == "4" and lines["vocabulary"] == "6 ids"  # a b c d <start> <end>
    assert lines["length"].startswith("3 tokens") and "1  blank" in said.out and "1  duplicate" in said.out


def test_inspect_takes_the_options_of_the_corpus(rlgan, tmp_path):
    path = tmp_path / "data.txt"
    path.write_text("ab\nba\n")
    said = rlgan("data", "inspect", path, "--tokens", "char", "--fixed-length", "--length", "2")
    assert said.code == 0 and "vocabulary       3 ids" in said.out  # a b <start>
    assert "2 tokens (exactly, no end token)" in said.out


@pytest.mark.parametrize(
    "words, code, message",
    [
        ((), 2, "which file?"),
        (("nowhere.txt",), 3, "nowhere.txt: cannot be read"),
        (("a.txt", "--token", "char"), 2, "--token: no such option; perhaps you meant --tokens"),
        (("a.txt", "b.txt"), 2, "b.txt"),
    ],
)
def test_inspect_refuses(words, code, message, rlgan, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = rlgan("data", "inspect", *words)
    assert (said.code, said.out) == (code, "") and said.err.count("\n") == 1
    assert message in said.err
