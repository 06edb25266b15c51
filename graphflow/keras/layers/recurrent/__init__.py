"""Recurrent layers and their cells."""

from graphflow.keras.layers.recurrent.cells import (
    AbstractRNNCell,
    Cell,
    GRUCell,
    LSTMCell,
    SimpleRNNCell,
    StackedRNNCells,
)
from graphflow.keras.layers.recurrent.layers import GRU, LSTM, SimpleRNN
from graphflow.keras.layers.recurrent.rnn import RNN

__all__ = ["GRU", "LSTM", "RNN", "AbstractRNNCell", "Cell", "GRUCell", "LSTMCell", "SimpleRNN", "SimpleRNNCell", "StackedRNNCells"]
