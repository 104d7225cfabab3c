"""A wrong option, value or file of settings: exit code 2, one line that names it, nothing started, no code run."""

import pytest

from rlgan.errors import ConfigError
from rlgan.launch.catalogue import SYSTEMS, system_named
from rlgan.launch.train_options import read_train_options

TRAIN = ("train", "seqgan")
pytestmark = pytest.mark.usefixtures("no_ray")


@pytest.mark.parametrize("name", SYSTEMS)
def test_no_option_is_needed(name, rlgan, tmp_path, monkeypatch):
    """The command of README's quick start: it comes as far as Ray, on the recipe `quick`."""
    monkeypatch.chdir(tmp_path)
    said = rlgan("train", name)
    assert "Ray was about to start" in said.err, said
    assert read_train_options(system_named(name), []).run == system_named(name).recipes["quick"]()


OPTIONS = {
    "unknown option": (["--ronds", "3"], "--ronds: no such option; perhaps you meant --rounds"),
    "unknown with a value": (["--num_rolouts=3"], "--num-rolouts: no such option; perhaps you meant --num-rollouts"),
    "without its section": (["--hidden-size", "3"], "perhaps you meant --generator.hidden-size"),
    "in two sections": (["--epochs", "3"], "perhaps you meant --likelihood.epochs or --discriminator-training.epochs"),
    "beginning of a name": (["--reward", "random"], "perhaps you meant --reward-ablation"),
    "far from any": (["--zzz", "3"], "--zzz: no such option; see --help"),
    "short": (["-x", "3"], "-x: no such option"),
    "word": (["poems.txt"], "poems.txt"),
    "not a number": (["--rounds", "many"], "--rounds"),
    "fraction for a count": (["--rounds", "1.5"], "--rounds"),
    "no value": (["--rounds"], "--rounds"),
    "negative": (["--rounds", "-1"], "--rounds: input should be greater than or equal to 0; got -1"),
    "zero": (["--batch-size", "0"], "--batch-size: input should be greater than or equal to 1; got 0"),
    "NaN": (["--lr", "nan"], "--lr: input should be a finite number; got nan"),
    "infinite": (["--lr", "inf"], "--lr: input should be a finite number; got inf"),
    "minus infinite": (["--likelihood.lr", "-inf"], "--likelihood.lr"),
    "huge": (["--num-rollouts", "9" * 30], "--num-rollouts: expected at most 1,000,000,000"),
    "huge in a list": (["--discriminator.windows", "1", "9" * 30], "--discriminator.windows: expected at most"),
    "beyond its range": (["--discriminator.dropout", "1"], "--discriminator.dropout: input should be less than 1"),
    "no such choice": (["--advantage", "best"], "'best'"),
    "no such recipe": (["--recipe", "large"], "'large'"),
    "value for a switch": (["--fixed-length", "yes"], "yes"),
    "lists of two lengths": (["--discriminator.windows", "1", "2"], "--discriminator.filters"),
    "options that contradict": (["--tokens", "char"], "tokens char needs a data file"),
    "overlap in one process": (["--discriminator-training.overlap"], "overlap"),
    "no value for a file": (["--data"], "--data"),
    "negative workers": (["--num-env-runners", "-2"], "--num-env-runners"),
    "half more than a GPU": (
        ["--num-gpus-per-learner", "1.5"],
        "--num-gpus-per-learner: must be at most 1, or a whole number; got 1.5",
    ),
    "timeout of zero": (["--rollout-timeout", "0"], "--rollout-timeout"),
    "which run": (["--resume", "auto"], "--resume auto: which run? Give its --run-dir"),
    "settings that are not there": (["--config", "nowhere.yaml"], "nowhere.yaml: cannot be read"),
}

FILES = {
    "unknown setting": (
        "training:\n  ronds: 3\n",
        "c.yaml: training.ronds: no such setting; perhaps you meant training.",
    ),
    "in the wrong section": ("rounds: 3\n", "c.yaml: rounds: no such setting; perhaps you meant training.rounds"),
    "unknown section": ("trainig:\n  rounds: 3\n", "c.yaml: trainig: no such setting; perhaps you meant training"),
    "wrong type": ("training:\n  rounds: many\n", "c.yaml: training.rounds: input should be a valid integer"),
    "truth for a number": ("training:\n  rounds: true\n", "c.yaml: training.rounds: expected another type than true"),
    "negative": ("training: {rounds: -3}\n", "c.yaml: training.rounds: input should be greater than or equal to 0"),
    "NaN": ("training: {lr: .nan}\n", "c.yaml: training.lr: "),
    "infinite": ("training: {lr: .inf}\n", "c.yaml: training.lr: expected a finite number; got inf"),
    "NaN as text": ("training: {lr: 'nan'}\n", "c.yaml: training.lr: "),
    "huge": ("training: {num_rollouts: 1e300}\n", "c.yaml: training.num_rollouts"),
    "a list for a number": ("training: {rounds: [1, 2]}\n", "c.yaml: training.rounds: input should be a valid integer"),
    "a value for a section": ("training: 3\n", "c.yaml: training: expected a section of settings; got 3"),
    "not a mapping": ("- rounds\n", "c.yaml: expected settings as `name: value` lines; got list"),
    "key given twice": ("training:\n  rounds: 1\n  rounds: 2\n", "c.yaml: line 3: key 'rounds' is given twice"),
    "not YAML": ("training: {rounds: 3\n", "c.yaml: line 2: "),
    "a tab": ("training:\n\trounds: 3\n", "c.yaml: line 2: "),
    "python object": (
        "training: !!python/object/apply:os.system ['touch MARKER']\n",
        "c.yaml: line 1: the tag 'tag:yaml.org,2002:python/object/apply:os.system' is refused",
    ),
    "other tag": ("data: !include other.yaml\n", "c.yaml: line 1: the tag '!include' is refused"),
    "anchors": ("training: &a {rounds: 1}\ndata: *a\n", "c.yaml: line 1: anchors and aliases are refused"),
    "many anchors": (
        "a: &a [x, x, x, x]\n" + "".join(f"b{i}: &b{i} [*a, *a]\n" for i in range(9)),
        "anchors and aliases are refused",
    ),
    "deep": ("training: " + "[" * 3000 + "]" * 3000, "c.yaml: line 1: nested more than 20 levels deep"),
    "not UTF-8": (b"training: {rounds: 3} # \xff\xfe", "c.yaml: not UTF-8"),
    "UTF-16": ("training: {rounds: 3}".encode("utf-16"), "c.yaml: not UTF-8"),
    "NUL": (b"training: \x00", "c.yaml: "),
    "very large": (b"# " + b"x" * 2**20, "c.yaml: expected at most 1,048,576 bytes"),
    "a number for a key": ("training: {3: 4}\n", "c.yaml: training.3: no such setting"),
    "other system": ("system: maskgan\n", "c.yaml: system: input should be 'seqgan'"),
    "settings that contradict": ("data: {tokens: char}\n", "tokens char needs a data file"),
    "huge int": ("training: {num_rollouts: 99999999999999}\n", "--num-rollouts: expected at most"),
}


def refused(said, message) -> None:
    """One line on standard error, exit code 2, no Ray."""
    assert said.code == 2, said
    assert said.err.startswith("rlgan: ") and said.err.count("\n") == 1, said.err
    assert message in said.err
    assert "Traceback" not in said.err and "pydantic" not in said.err
    assert said.out == ""


@pytest.mark.parametrize("words, message", OPTIONS.values(), ids=OPTIONS)
def test_a_wrong_option(words, message, rlgan, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(rlgan(*TRAIN, *words), message)
    assert list(tmp_path.iterdir()) == [], "no run directory"


@pytest.mark.parametrize("system", [name for name in SYSTEMS if name != "seqgan"])
def test_overlap_is_seqgans_alone(system, rlgan, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(rlgan("train", system, "--discriminator-training.overlap"), "overlap: no such option")


@pytest.mark.parametrize("content, message", FILES.values(), ids=FILES)
def test_a_wrong_file_of_settings(content, message, rlgan, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "c.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    refused(rlgan(*TRAIN, "--config", "c.yaml"), message)
    assert [one.name for one in tmp_path.iterdir()] == ["c.yaml"], "no run directory, no marker of code that ran"


def test_an_option_can_complete_what_a_file_leaves_open(poems):
    from rlgan.launch.systems.seqgan import SYSTEM
    from rlgan.launch.train_options import read_train_options

    path = poems.with_name("c.yaml")
    path.write_text("data: {tokens: char, length: 20}\ntraining: {lr: 1e-3}\n")
    run = read_train_options(SYSTEM, ["--config", str(path), "--data", str(poems)]).run
    assert (run.data.tokens, run.data.data, run.training.lr) == ("char", poems, 0.001)


def test_a_truth_in_a_section_can_be_denied_as_the_help_says():
    from rlgan.launch.systems.maskgan import SYSTEM

    words = ["--discriminator.no-share-embedding", "--no-deduplicate"]
    run = read_train_options(SYSTEM, words).run
    assert not run.training.discriminator.share_embedding and not run.data.deduplicate
    with pytest.raises(ConfigError, match=r"no-discriminator\.share-embedding: no such option"):
        read_train_options(SYSTEM, ["--no-discriminator.share-embedding"])


def test_recipe_then_file_then_options(tmp_path):
    from rlgan.launch.systems.seqgan import SYSTEM
    from rlgan.launch.train_options import read_train_options

    path = tmp_path / "c.yaml"
    path.write_text("training:\n  rounds: 7\n  num_rollouts: 5\n  likelihood: {epochs: 11}\n")
    run = read_train_options(SYSTEM, ["--recipe=paper", "--config", str(path), "--rounds", "9"]).run
    assert (run.training.rounds, run.training.num_rollouts, run.training.likelihood.epochs) == (9, 5, 11)
    assert (run.training.advantage, run.training.discriminator_training.d_steps) == ("none", 5), "of the recipe"
    assert run.training.likelihood.lr == 0.01, "a section in the file leaves its other settings alone"


def test_the_settings_of_a_run_can_be_read_back():
    from rlgan.launch.catalogue import SYSTEMS, system_named
    from rlgan.launch.config_file import parse_settings

    for system in map(system_named, SYSTEMS):
        for recipe in system.recipes.values():
            run = recipe()
            read = parse_settings(run.to_yaml(), system.run_class, "text")
            assert system.run_class.model_validate(read) == run and run.system == system.name


def test_every_spelling_of_an_option(tmp_path):
    from rlgan.launch.systems.seqgan import SYSTEM
    from rlgan.launch.train_options import read_train_options

    words = ["--num_rollouts", "3", "--batch-size=4", "--no-standardise", "--discriminator.windows", "1", "2"]
    words += ["--discriminator.filters", "5", "6", "--reward-ablation", "constant", "--run-dir", str(tmp_path / "a b")]
    options = read_train_options(SYSTEM, words)
    training = options.run.training
    assert (training.num_rollouts, training.batch_size, training.standardise) == (3, 4, False)
    assert (training.discriminator.windows, training.discriminator.filters) == ((1, 2), (5, 6))
    assert training.reward == "constant" and options.invocation.run_dir == tmp_path / "a b"


def test_help_explains_every_setting(rlgan):
    from rlgan.launch.options import _leaves
    from rlgan.launch.systems.seqgan import SYSTEM
    from rlgan.launch.train_options import options_class, style

    said = rlgan(*TRAIN, "--help")
    assert said.code == 0 and said.err == ""
    text = " ".join(said.out.replace("│", " ").split())
    for path, flag, field in _leaves(options_class(SYSTEM), style(SYSTEM)):
        assert f"{flag} " in text or f"{flag}, " in text, flag
        assert field.description, path
    assert "(default: 16)" not in text and "Adversarial rounds, one generator step each" in text


def test_the_paper_recipe_has_the_released_settings():
    """Numbers from LantaoYu/SeqGAN e2b52fb: sequence_gan.py, generator.py, discriminator.py."""
    from rlgan.launch.systems.seqgan import paper

    run = paper()
    d = run.training.discriminator_training
    assert (run.training.likelihood.epochs, d.pretrain_steps, run.training.rounds) == (120, 50, 200)
    assert (d.g_steps, d.d_steps, d.epochs, d.num_negatives, d.lr) == (1, 5, 3, None, 1e-4)
    assert (run.training.num_rollouts, run.training.batch_size, run.training.lr) == (16, 64, 0.01)
    assert (run.training.advantage, run.training.standardise, run.training.rollout_delay) == ("none", False, 0.0)
    assert (run.data.oracle_sequences, run.data.vocab_size, run.data.length) == (10_000, None, None)
