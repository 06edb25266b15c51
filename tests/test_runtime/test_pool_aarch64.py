"""The pool's code for aarch64, under an emulator: four threads do each iteration of many jobs once."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from graphflow.compiler.target.machine import Machine, compile_module
from graphflow.runtime import pool_code
from graphflow.runtime.pool_layout import slot, slots

ARM = Machine("aarch64-linux-gnu", "generic", "", 128, False)
QEMU, CC = "qemu-aarch64", "aarch64-linux-gnu-gcc"
THREADS = 4

MAIN = """
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

extern void run(void *, void (*)(void *, int64_t, int64_t), void *, int64_t) __asm__("gf.run");
extern int64_t worker(void *, int64_t) __asm__("gf.worker");
extern void ring(void *) __asm__("gf.ring");
extern int64_t ticks(void) __asm__("gf.ticks");

static int64_t pool[%(slots)d] __attribute__((aligned(64)));
static int counts[300];
static int64_t answers[%(threads)d];

static void *begin(void *me) { answers[(int64_t)me] = worker(pool, (int64_t)me); return 0; }

static void mark(void *args, int64_t lo, int64_t hi) {
    for (int64_t i = lo; i < hi; i++) {
        __atomic_fetch_add(&counts[i], 1, __ATOMIC_RELAXED);
        for (volatile int64_t j = 0; j < *(int64_t *)args; j++) ;
    }
}

int main(void) {
    int64_t begun = ticks();
    pool[%(threads_slot)d] = pool[%(wanted)d] = pool[%(allowed)d] = %(threads)d;
    pool[%(spin)d] = pool[%(patience)d] = 5000;
    pool[%(wake)d] = 20000;
    pool[%(look)d] = pool[%(period)d] = INT64_MAX;
    pthread_t threads[%(threads)d];
    for (int64_t me = 1; me < %(threads)d; me++) {
        pool[%(lock)d + 8 * me] = -1;
        pthread_create(&threads[me], 0, begin, (void *)me);
    }
    static const int64_t sizes[] = {1, 2, 3, 7, 56, 300}, waits[] = {0, 50, 2000};
    for (int k = 0; k < 18; k++) {
        int64_t n = sizes[k %% 6], wait = waits[k / 6];
        memset(counts, 0, sizeof counts);
        for (int job = 1; job <= 40; job++) {
            run(pool, mark, &wait, n);
            for (int64_t i = 0; i < 300; i++)
                if (counts[i] != (i < n ? job : 0)) { printf("n %%d job %%d: %%d at %%d\\n", (int)n, job, counts[i], (int)i); return 1; }
        }
    }
    pool[%(stop)d] = 1;
    ring(pool);
    for (int64_t me = 1; me < %(threads)d; me++) {
        pthread_join(threads[me], 0);
        if (answers[me] != 0) return 2;
    }
    printf("%%s\\n", pool[%(done)d] > 0 && ticks() > begun ? "shared" : "alone");
    return 0;
}
"""


def shell(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_under_an_emulator(tmp_path: Path) -> None:
    if not (shutil.which(QEMU) and shutil.which(CC)):
        pytest.skip(f"needs {QEMU} and {CC}")
    code = compile_module(pool_code.text(ARM), ARM, jit=False)
    assert isinstance(code, bytes)
    (tmp_path / "pool.o").write_bytes(code)
    names = ("wanted", "allowed", "spin", "patience", "wake", "look", "period", "lock", "stop", "done")
    values = {name: slot(name) for name in names} | {"threads_slot": slot("threads"), "slots": slots(THREADS), "threads": THREADS}
    (tmp_path / "main.c").write_text(MAIN % values)
    shell([CC, "-static", "-O1", "-o", "program", "main.c", "pool.o", "-lpthread"], tmp_path)
    assert shell([QEMU, "./program"], tmp_path) == "shared\n"
