"""Callbacks: what happens at the beginning and end of training, epochs and batches."""

from graphflow.keras.callbacks.base import Callback, CallbackList, Logs, Slice, listens_to_batches, listens_to_epochs
from graphflow.keras.callbacks.checkpoint import BackupAndRestore, ModelCheckpoint
from graphflow.keras.callbacks.control import (
    EarlyStopping,
    LambdaCallback,
    LearningRateScheduler,
    ReduceLROnPlateau,
    TerminateOnNaN,
)
from graphflow.keras.callbacks.records import BaseLogger, CSVLogger, History, ProgbarLogger, RemoteMonitor
from graphflow.keras.callbacks.tensorboard import TensorBoard

__all__ = [
    "BackupAndRestore", "BaseLogger", "CSVLogger", "Callback", "CallbackList", "EarlyStopping", "History", "LambdaCallback",
    "LearningRateScheduler", "Logs", "ModelCheckpoint", "ProgbarLogger", "ReduceLROnPlateau", "RemoteMonitor", "Slice", "TensorBoard",
    "TerminateOnNaN", "listens_to_batches", "listens_to_epochs",
]  # fmt: skip
