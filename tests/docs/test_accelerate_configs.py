"""Every file of ``configs/accelerate`` is read by Accelerate's own loader and launcher, and documented."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from accelerate.commands.config.config_args import ClusterConfig, load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils import DistributedType

REPOSITORY = Path(__file__).parents[2]
FILES = sorted((REPOSITORY / "configs" / "accelerate").glob("*.yaml"))


def test_there_are_files() -> None:
    assert {path.stem for path in FILES} == {"ddp", "ddp_cpu", "multi_node"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_accelerate_reads_the_file_and_would_start_several_processes(path: Path) -> None:
    config = load_config_from_file(str(path))
    assert isinstance(config, ClusterConfig)
    assert set(yaml.safe_load(path.read_text())) <= set(ClusterConfig.__dataclass_fields__)
    parsed = launch_command_parser().parse_args(["--config_file", str(path), "train.py"])
    arguments, _, _ = _validate_launch_command(parsed)
    # What accelerate launch asks before it starts one process a device; else it starts one process.
    assert arguments.multi_gpu
    assert not arguments.cpu
    assert arguments.num_processes > 1
    # The framework wraps a model for DDP alone.
    assert config.distributed_type is DistributedType.MULTI_GPU
    assert not config.fsdp_config
    assert not config.deepspeed_config


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_page_names_the_file(path: Path) -> None:
    page = (REPOSITORY / "docs" / "multi_gpu.md").read_text()
    assert f"configs/accelerate/{path.name}" in page
