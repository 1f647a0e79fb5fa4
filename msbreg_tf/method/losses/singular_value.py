"""Global dispersion: the cloud of all embeddings spreads evenly over the dimensions."""

import math

import tensorflow as tf

from msbreg_tf.method.losses.shapes import ROWS, float32

FORMS = ("values", "squares", "log_det")


def singular_value_loss(p: tf.Tensor, form: str = "values", epsilon2: float = 0.2) -> tf.Tensor:
    """Returns the singular value loss L_s (METHOD.md, "Losses").

    σ_j are the D singular values of P / √M, zeros included when M < D:

        L_s = Σ_j (√D σ_j − 1)²  = D Σ_j σ_j² − 2√D Σ_j σ_j + D        (values)
        L_s = Σ_j (D σ_j² − 1)²  = ‖(D / M) PᵀP − I‖_F²                (squares)
        L_s = ½ Σ_j log((1 + 1/ε²) / (1 + D σ_j²/ε²))
            = ½ D log(1 + 1/ε²) − ½ log det(I + D / (M ε²) PᵀP)        (log_det)

    For unit rows Σ σ_j² = 1. `log_det` is what is missing to the largest coding rate that unit rows
    can have (Yu et al. 2020, arXiv 2006.08558; EMP-SSL, arXiv 2304.03977). Near the perfect
    spread squares ≈ 4 · values ≈ 4 (1 + ε²)² · log_det. The loss of a batch is not the mean of its
    parts' losses: with several replicas, gather their rows first.

    Args:
      p: embeddings of the whole global batch, float [M, D], unit rows.
      form: one of `FORMS`.
      epsilon2: ε² of `log_det`, above 0; the others ignore it.

    Returns:
      float32 scalar: 0 when perfectly spread; for a collapsed batch of unit rows 2(D − √D) with
      `values`, D(D − 1) with `squares` and ½ D log(1 + 1/ε²) − ½ log(1 + D/ε²) with `log_det`.

    Raises:
      ValueError: a wrong shape or an unknown `form`.
    """
    p = float32("p", p, ROWS)
    size = float(p.shape[1])
    num_rows = tf.cast(tf.shape(p)[0], tf.float32)
    # Scaled so that a perfectly spread batch has singular values 1: s_j = √D σ_j.
    scaled = p * tf.sqrt(size / num_rows)
    if form == "values":
        return tf.reduce_sum(tf.square(scaled)) - 2.0 * nuclear_norm(scaled) + size
    if form == "squares":
        return _squares(scaled)
    if form == "log_det":
        return 0.5 * size * math.log1p(1.0 / epsilon2) - coding_rate(scaled, epsilon2)
    raise ValueError(f"form={form}: expected one of {', '.join(FORMS)}.")


def coding_rate(matrix: tf.Tensor, epsilon2: float) -> tf.Tensor:
    """Returns ½ log det(I + AᵀA / ε²) of a float32 [M, D] matrix A.

    From the Cholesky factor L of the smaller of ε²I + AᵀA and ε²I + AAᵀ, whose determinants differ
    by a power of ε² alone (Sylvester); for M ≥ D

        ½ log det(I + AᵀA / ε²) = Σ_j log(L_jj / ε),   ∂/∂A = A (ε²I + AᵀA)⁻¹.

    No eigenvectors: a collapsed batch and a perfect one are no special cases. The gradient itself
    is not differentiable here: second derivatives are wrong.

    Args:
      matrix: float32 [M, D].
      epsilon2: ε², above 0.

    Returns:
      float32 scalar, at least 0; NaN if an entry is not finite.
    """

    @tf.custom_gradient
    def rate(matrix):
        # float64 as in `nuclear_norm`: of a collapsed batch the condition number is D/ε².
        gram, tall, finite = _smaller_gram(matrix)
        identity = tf.eye(tf.shape(gram)[0], dtype=tf.float64)
        factor = tf.linalg.cholesky(gram + epsilon2 * identity)
        half_log_det = tf.reduce_sum(tf.math.log(tf.linalg.diag_part(factor) * epsilon2**-0.5))
        half_log_det = tf.where(finite, half_log_det, float("nan"))

        def gradient(upstream):
            inverse = tf.cast(tf.linalg.cholesky_solve(factor, identity), tf.float32)
            product = tf.matmul(matrix, inverse) if tall else tf.matmul(inverse, matrix)
            return upstream * product  # [M, D]

        return tf.cast(half_log_det, tf.float32), gradient

    return rate(matrix)


def _smaller_gram(matrix: tf.Tensor) -> tuple[tf.Tensor, bool, tf.Tensor]:
    """The smaller of AᵀA and AAᵀ in float64, which of them, and whether all of it is finite.

    One that is not finite is replaced by zeros: on CPUs a decomposition raises on a NaN, which
    would hide from a guard *what* went wrong.
    """
    # float64, because forming AᵀA squares the condition number: in float32 (worse in TF32, which
    # recent GPUs use for float32 products) all s_j below 3e-4 of the largest would be noise.
    a = tf.cast(matrix, tf.float64)
    num_rows, size = matrix.shape
    tall = num_rows is None or num_rows >= size  # an unknown M only costs time if it is small
    gram = tf.matmul(a, a, transpose_a=tall, transpose_b=not tall)  # smaller of [D, D], [M, M]
    finite = tf.reduce_all(tf.math.is_finite(gram))
    return tf.where(finite, gram, tf.zeros_like(gram)), tall, finite


@tf.custom_gradient
def _squares(scaled: tf.Tensor):
    """‖AᵀA − I‖_F² from the smaller Gram matrix; its gradient 4 A (AᵀA − I), in one product more.

    Not differentiable twice: second derivatives are wrong.
    """
    num_rows, size = scaled.shape
    tall = num_rows is None or num_rows >= size
    gram = tf.matmul(scaled, scaled, transpose_a=tall, transpose_b=not tall)
    excess = gram - tf.eye(size if tall else num_rows)
    # If M < D, each of the D − M singular values that are zero adds 1.
    missing = 0.0 if tall else float(size - num_rows)

    def gradient(upstream):
        product = tf.matmul(scaled, excess) if tall else tf.matmul(excess, scaled)
        return 4.0 * upstream * product

    return tf.reduce_sum(tf.square(excess)) + missing, gradient


@tf.custom_gradient
def nuclear_norm(matrix: tf.Tensor):
    """Returns Σ_j s_j, the sum of the singular values of a float32 [M, D] matrix A.

    From the eigenvectors V and eigenvalues Λ of the smaller Gram matrix; for M ≥ D

        Σ_j s_j = tr Λ^½,   ∂/∂A = A V Λ^−½ Vᵀ  (= U Vᵀ),

    with Λ^−½ = 0 where s_j is 0. Written by hand, because the derivative of an eigendecomposition
    divides by differences of eigenvalues and by s_j: NaN for a collapsed batch and for a perfect
    one. The gradient itself is not differentiable here: second derivatives are wrong.

    Args:
      matrix: float32 [M, D].

    Returns:
      float32 scalar; NaN if an entry is not finite.
    """
    gram, tall, finite = _smaller_gram(matrix)
    eigenvalues, v = tf.linalg.eigh(gram)
    s = tf.sqrt(tf.maximum(eigenvalues, 0.0))
    s = tf.where(finite, s, tf.fill(tf.shape(s), tf.constant(float("nan"), tf.float64)))

    def gradient(upstream):
        smallest = tf.reduce_max(s) * tf.sqrt(tf.cast(tf.size(s), tf.float64) * 2.0**-52)
        inverse = tf.where(s <= smallest, tf.zeros_like(s), 1.0 / s)
        # In float32 from here: what that rounds off, the float32 input did not tell either.
        root = tf.cast(tf.matmul(v * inverse, v, transpose_b=True), tf.float32)  # V Λ^−½ Vᵀ
        polar = tf.matmul(matrix, root) if tall else tf.matmul(root, matrix)  # [M, D]
        return upstream * polar

    return tf.cast(tf.reduce_sum(s), tf.float32), gradient
