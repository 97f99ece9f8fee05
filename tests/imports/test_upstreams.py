"""Channels of new-api and LiteLLM's model_list, as tables that a server takes."""

from __future__ import annotations

import tomllib
from typing import Any

import msgspec

from rerankd.gateway.plan import gateway_plan
from rerankd.imports.rows import Row
from rerankd.imports.upstreams import Read, of_litellm, of_new_api, toml
from rerankd.service.plan import ServingPlan
from rerankd.settings.schema import Settings

SECRET = "sk-provider-secret"
CHANNELS: list[Row] = [
    {
        "id": 1,
        "type": 40,
        "name": "Silicon Flow #1",
        "status": 1,
        "key": SECRET,
        "base_url": "",
        "models": "BAAI/bge-reranker-v2-m3,deepseek-ai/DeepSeek-V3",
        "model_mapping": "",
        "priority": 5,
    },
    {
        "id": 2,
        "type": 38,
        "name": "jina",
        "status": 1,
        "key": f"{SECRET}\n{SECRET}2",
        "models": "BAAI/bge-reranker-v2-m3",
        "model_mapping": '{"BAAI/bge-reranker-v2-m3": "jina-reranker-v2-base-multilingual"}',
        "priority": 9,
        "param_override": '{"x": 1}',
    },
    {"id": 3, "type": 14, "name": "claude", "status": 1, "key": SECRET, "models": "rerank-x"},
    {"id": 4, "type": 38, "name": "off", "status": 2, "key": SECRET, "models": "rerank-x"},
]
MODELS: list[Row] = [
    {
        "model_name": "rerank",
        "litellm_params": {
            "model": "cohere/rerank-v3.5",
            "api_key": "os.environ/COHERE_API_KEY",
            "weight": 3,
            "rpm": 5,
        },
    },
    {
        "model_name": "rerank",
        "litellm_params": {
            "model": "hosted_vllm/BAAI/bge-reranker-v2-m3",
            "api_base": "http://vllm.example:8000",
            "api_key": SECRET,
        },
        "model_info": {"mode": "rerank"},
    },
    {"model_name": "gpt", "litellm_params": {"model": "openai/gpt-4o", "api_key": SECRET}},
    {
        "model_name": "aws",
        "litellm_params": {"model": "bedrock/amazon.rerank-v1:0", "api_key": SECRET},
    },
]


def served(read: Read, variables: dict[str, str]) -> dict[str, Any]:
    """Route -> its targets, as a server that takes the text would have them."""
    text = toml(read)
    assert SECRET not in text
    settings = msgspec.convert(tomllib.loads(text), Settings)
    plan = gateway_plan(settings, ServingPlan(specs=(), aliases={}), variables)
    return {
        name: [(t.upstream, t.model, t.weight) for t in route.targets]
        for name, route in plan.routes.items()
    }


def test_channels_become_upstreams_and_routes_by_priority() -> None:
    read = of_new_api(CHANNELS)
    assert served(read, {"SILICON_FLOW_1_KEY": "a", "JINA_KEY": "b"}) == {
        "BAAI/bge-reranker-v2-m3": [
            ("jina", "jina-reranker-v2-base-multilingual", 1),
            ("silicon-flow-1", "BAAI/bge-reranker-v2-m3", 1),
        ]
    }
    assert read.lost == (
        "Silicon Flow #1: 1 models that are no rerankers by their name",
        "jina: has several keys: name several variables, or a key_file",
        "jina: param_override",
        "claude: type 14 has no dialect that can be called here",
        "off: is disabled there",
    )


def test_a_model_list_becomes_upstreams_and_routes_by_weight() -> None:
    read = of_litellm(MODELS)
    text = toml(read)
    assert 'key_env = "COHERE_API_KEY"' in text
    assert 'order = "weighted"' in text
    assert "insecure = true" in text
    variables = {"COHERE_API_KEY": "a", "HOSTED_VLLM_VLLM_EXAMPLE_8000_KEY": "b"}
    assert served(read, variables) == {
        "rerank": [
            ("cohere", "rerank-v3.5", 3),
            ("hosted-vllm-vllm-example-8000", "BAAI/bge-reranker-v2-m3", 1),
        ]
    }
    assert read.lost == (
        "rerank: rpm of one model: set it for the upstream",
        "gpt: is no reranker by its mode or name",
        "aws: bedrock: no dialect that can be called here",
    )


def test_what_is_written_there_cannot_leave_its_string() -> None:
    nasty = 'x"]\nkey = "y rerank\\'
    row = CHANNELS[0] | {"models": nasty, "name": 'a"\n[server]', "priority": 0}
    found = tomllib.loads(toml(of_new_api([row])))
    assert set(found) == {"upstream", "route"}
    assert list(found["route"]) == [nasty.replace(",", "")]
