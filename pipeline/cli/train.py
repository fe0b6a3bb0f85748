"""`syncline train`: the project's own networks, each by one command, seeded, resumable, with its card."""

from __future__ import annotations

import typer

from pipeline.cli import train_camera, train_graph, train_heads, train_intent, train_lidar

train = typer.Typer(help="Train the project's own networks; each command makes its data too.", no_args_is_help=True)
train.command("camera")(train_camera.camera)
train.command("graph")(train_graph.graph)
train.command("heads")(train_heads.heads)
train.command("intent")(train_intent.intent)
train.command("lidar")(train_lidar.lidar)
