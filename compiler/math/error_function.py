"""erf, erfc, erfinv."""

from __future__ import annotations

from typing import NamedTuple

from graphflow.compiler.kernel import F32, F64, Expr
from graphflow.compiler.math.exponential import exp_reduced, exp_slope, exponent_bits, reduce, scale
from graphflow.compiler.math.floating import (
    INF,
    NAN,
    Coefficients,
    absolute,
    at_most,
    choose,
    format_of,
    muladd,
    polynomial,
    sqrt,
    two_product,
    with_sign,
)
from graphflow.compiler.math.logarithm import log_of_sum
from graphflow.graph.types import DType

ERF_SPLIT, ERFC_SPLIT = 0.92, 0.75
HALF_ROOT_PI = 0.886226925452758

# erf x / x - 1 as a polynomial in x^2, |x| <= 0.92
ERF_NEAR: dict[DType, Coefficients] = {
    F32: (0.12837915, -0.37612498, 0.112818494, -0.02676771, 0.004994716, -0.00059985224),  # 2^-25.9
    F64: (  # 2^-56.3
        0.1283791670955126, -0.37612638903184087, 0.1128379167097, -0.02686617064770793, 0.005223977648198733, -0.0008548328181500451,
        0.00012055368860845186, -1.4926331042387075e-05, 1.6469522971143591e-06, -1.6398896880609853e-07, 1.4648186564208475e-08, -9.751317112050043e-10,
    ),
}  # fmt: skip

# where erf is 1, and log erfc x between 0.92 and there
ERF_FAR: dict[DType, tuple[float, Coefficients]] = {
    F32: (4.0, (-0.00019431587, -1.1276813, -0.63717276, -0.10393992, 0.022230921, -0.0030442148, 0.0001960378)),  # 2^-29.3
    F64: (  # 2^-58.5
        6.0,
        (
            -8.334881292112533e-08, -1.1283782867875076, -0.6366240512603893, -0.1027599826499142, 0.019103482325894202, 0.0002433877898606192,
            -0.0017275348487016363, 0.0006050241955485361, -1.9907624857562856e-05, -8.404340731063415e-05, 5.103062700014926e-05, -1.8605354630240096e-05,
            4.903898391605164e-06, -9.746280039366156e-07, 1.4604779900310032e-07, -1.6081270546368392e-08, 1.2309219597029387e-09, -5.857060917163281e-11,
            1.304939387864646e-12,
        ),
    ),
}  # fmt: skip


class Tail(NamedTuple):
    """erfc x e^(x^2) (1 + 2 x) as a polynomial in (x - center) / (x + center), 1/2 <= x <= end; erfc is 0 beyond."""

    center: float
    end: float
    p: Coefficients


TAIL: dict[DType, Tail] = {
    F32: Tail(  # 2^-25.6
        3.90625, 10.2,
        (1.2346528, -0.1399371, 0.011206846, 0.07328953, -0.10406326, 0.09339826, -0.063833185, 0.034213755, -0.013503367, 0.0035385997),
    ),
    F64: Tail(  # 2^-59.0
        3.8125, 27.3,
        (
            1.2363539084541144, -0.14015514677325874, 0.006738807450821769, 0.07862435546319654, -0.10697124619066327, 0.0929077443075589,
            -0.06081432180571766, 0.030630562691902105, -0.011296473859427085, 0.0024679105685444435, 0.00011018516192945779, -0.000300656691680094,
            8.064482695601149e-05, 1.4373673766608614e-05, -1.3467966156690808e-05, 7.107546736689404e-07, 1.7482142481795092e-06, -3.250436400932755e-07,
            -2.3027400189664016e-07, 6.175081533616743e-08, 3.3814803500049125e-08, -7.171277011330472e-09, -4.3011177142757455e-09,
        ),
    ),
}  # fmt: skip


class Inverse(NamedTuple):
    """erfinv x / x with w = -log(1 - x^2): sqrt(pi) / 2 + w P(w - split / 2) for w < split,
    a polynomial in (sqrt w - center) / (sqrt w + center) beyond."""

    split: float
    near: Coefficients
    center: float
    far: Coefficients


INVERSE: dict[DType, Inverse] = {
    F32: Inverse(  # 2^-25.1 and 2^-25.5
        5.0,
        (0.24607298, 0.00022692209, -0.0017617487, 0.00020356935, 5.9346676e-06, -4.33009e-06, 3.3980407e-07, 4.3071008e-08, -7.312123e-09),
        3.0,
        (2.8329768, 6.010055, 6.350061, 5.037019, 9.453711, -0.39222974, -5.286778, 66.195885),
    ),
    F64: Inverse(  # 2^-54.9 and 2^-53.8
        6.25,
        (
            0.2455768439137103, -0.001733971676199051, -0.0013759037424725684, 0.00020326438666201467, -5.289657166935321e-06, -2.749717193461925e-06,
            4.429593680843373e-07, -6.23377532186792e-09, -7.307719294064452e-09, 1.0224180446267775e-09, 9.218857110947095e-12, -2.0275456018531754e-11,
            2.3345450911635688e-12, 9.461601408599368e-14, -5.60234681422727e-14, 5.139079953631022e-15, 4.301139446475465e-16, -1.523804437519641e-16,
            1.084306724459935e-17, 1.652144335367443e-18, -4.053635638199245e-19, 1.188839923102964e-20, 5.06294777092994e-21, -4.761807625545685e-22,
        ),
        3.875,
        (
            3.713618605303242, 7.820795435930824, 7.9179968427574945, 7.526265766993029, 8.125581099891074, 6.369214287049341, 14.438372660323559,
            -15.231977785230509, 40.91133619318888, 121.30786519801782, -693.5138937259597, 893.9935312292077, 4023.0663075423518, -14998.285517687298,
            -6493.913816197139, 116597.30841097889, -74189.40805811067, -708014.4103082491, 800505.8810446934, 4207530.393466694, -4792415.061172942,
            -25433268.712707393, 19706329.833913043, 125509001.03103457, -43685140.44834001, -330196609.3204651,
        ),
    ),
}  # fmt: skip


def erf_near(x: Expr) -> Expr:
    return muladd(x, polynomial(x * x, ERF_NEAR[x.dtype]), x)


def erf(x: Expr) -> Expr:
    """x + x P(x^2) near 0, 1 - e^log erfc x beyond."""
    one, p = ERF_FAR[x.dtype]
    a = at_most(absolute(x), one)
    r, _, k = reduce(polynomial(a, p), format_of(x).bias)
    far = muladd(-exp_reduced(r), exponent_bits(k, x), 1.0)
    return with_sign(choose(a < ERF_SPLIT, erf_near(a), far), x)


def erfc(x: Expr) -> Expr:
    """1 - erf x near 0; e^(-x^2) P / (1 + 2 x) beyond, x^2 in two parts; 2 less that on the left."""
    t = TAIL[x.dtype]
    a = at_most(absolute(x), t.end)
    square, rest = two_product(a, a)
    r, tail, k = reduce(-square, 2 * format_of(x).bias)
    p = polynomial((a - t.center) / (a + t.center), t.p) / muladd(a, 2.0, 1.0)
    rise = r * exp_slope(r)
    rise = muladd(rise + 1.0, tail - rest, rise)  # e^(r + tail - rest) - 1
    far = scale(muladd(p, rise, p), k)
    return choose(a < ERFC_SPLIT, 1.0 - erf_near(x), choose(x < 0.0, 2.0 - far, far))


def erfinv(x: Expr) -> Expr:
    f, t = format_of(x), INVERSE[x.dtype]
    a = absolute(x)
    w = -log_of_sum((1.0 - a) * (1.0 + a), f.const(0.0))
    s = sqrt(w)
    far = polynomial((s - t.center) / (s + t.center), t.far)
    near = muladd(w, polynomial(w - t.split / 2, t.near), HALF_ROOT_PI)
    y = x * choose(w < t.split, near, far)
    return choose(a < 1.0, y, choose(a.eq(1.0), with_sign(f.const(INF), x), f.const(NAN)))
