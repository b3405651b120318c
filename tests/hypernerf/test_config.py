import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hypernerf.config import apply_overrides, dump_yaml, from_dict, load_yaml, to_dict
from hypernerf.training import EvaluateConfig, Experiment, TrainConfig
from hypernerf.types import InputError
from scenes import source_config_type, source_names


def test_every_config_survives_yaml(tmp_path):
    experiment = from_dict(
        Experiment, {"train": {"learning_rate": "1e-3", "minutes": 3}, "evaluate": {"context": {2: [64, 104]}}}
    )
    assert experiment.train.learning_rate == 1e-3 and experiment.evaluate.context == {2: (64, 104)}
    path = tmp_path / "c.yaml"
    path.write_text(dump_yaml(to_dict(experiment)))
    assert from_dict(Experiment, load_yaml(path)) == experiment
    for name in source_names():
        config = source_config_type(name)(name=name)
        assert from_dict(type(config), to_dict(config)) == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"train": {"stepz": 3}}, "train.stepz.*did you mean 'steps'"),
        ({"trian": {}}, "trian.*did you mean 'train'"),
        ({"train": {"steps": "many"}}, "train.steps must be a whole number"),
        ({"train": {"steps": 2.5}}, "train.steps must be a whole number"),
        ({"train": {"steps": True}}, "train.steps must be a whole number"),
        ({"train": {"learning_rate": "fast"}}, "train.learning_rate must be a number"),
        ({"train": {"minutes": -1}}, "train.minutes must be positive"),
        ({"train": {"batch": {"context": [1, 2, 3]}}}, "train.batch.context must have 2 values"),
        ({"train": {"batch": {"context": 1}}}, "train.batch.context must be a list"),
        ({"train": 3}, "train must be a section"),
        ({"hypernetwork": {"head": "huge"}}, "hypernetwork.head must be one of"),
        ({"evaluate": {"context": {2: [1]}}}, "evaluate.context"),
        ({"evaluate": {"context": {1: [-1]}}}, "evaluate.context: view numbers begin at 0"),
        ({"evaluate": {"context": {2: [3, 3]}}}, "evaluate.context: .* all different"),
        ({"evaluate": {"max_target_views": 0}}, "evaluate.max_target_views"),
        ({"hypernetwork": {"head": "token", "embedding": 30}}, "hypernetwork.embedding must be a multiple of 4"),
        ({"field": {"width": 48}}, "field.width"),
    ],
)
def test_mistakes_are_named(values, message):
    with pytest.raises(InputError, match=message):
        from_dict(Experiment, values)


def test_overrides_set_nested_keys():
    values = apply_overrides(
        {"train": {"steps": 1}}, ["--train.minutes", "2.5", "--train.batch.context", "1", "3", "--source.root=a b"]
    )
    assert values == {"train": {"steps": 1, "minutes": 2.5, "batch": {"context": [1, 3]}}, "source": {"root": "a b"}}
    numbered = apply_overrides({"evaluate": {"context": {1: [0]}}}, ["--evaluate.context.1", "[64]"])
    assert from_dict(Experiment, numbered).evaluate.views_for(1) == [64]
    for wrong in (["x"], ["--steps", "3"], ["--train.steps"], ["--train.steps.x", "1"]):
        with pytest.raises(InputError):
            apply_overrides({"train": {"steps": 1}}, wrong)


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda s: st.lists(s, max_size=3) | st.dictionaries(st.text(max_size=8), s, max_size=3),
    )
)
def test_no_value_makes_anything_but_a_config_or_an_input_error(value):
    try:
        assert isinstance(from_dict(TrainConfig, value if isinstance(value, dict) else {"steps": value}), TrainConfig)
    except InputError:
        pass


def test_bad_files_are_named(tmp_path):
    path = tmp_path / "bad.yaml"
    for text in ("a: [1", "- 1\n- 2", "3"):
        path.write_text(text)
        with pytest.raises(InputError, match=r"bad\.yaml"):
            load_yaml(path)
    with pytest.raises(InputError, match="no such configuration"):
        load_yaml(tmp_path / "none.yaml")
    path.write_text("")
    assert load_yaml(path) == {}


def test_context_views_default_to_the_first():
    config = EvaluateConfig(context={1: (64,), 2: (64, 104)})
    assert config.views_for(1) == [64] and config.views_for(2) == [64, 104] and config.views_for(3) == [0, 1, 2]
