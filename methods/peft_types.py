"""What peft's catalogue doesn't say of its methods: what trains, family, paper, and our defaults with their sources.

A default is the paper's for a model of GPT-2's size that classifies texts, where its authors published one; else
that of peft's documentation, its examples, or its comparison of methods on MetaMathQA, as the source says.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from methods import spaces
from methods.sizes import Fit

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class About:
    """What is known of one of peft's types, or of a variant that peft makes by options.

    `defaults` are the hyperparameters (peft's names) where our default isn't peft's, `fits` those that the layers
    bound. `targets` are the layers to adapt by architecture (transformers' model type), where peft has none for it.

    `head_learning_rate` is the head's, where one rate can't serve both: this method's adapter wants a very large one.

    A variant is of another type, `peft_type`, and `options` of that type's configuration make it what it is; or a
    function of `peft.optimizers` does, called with `optimizer_options`, which leaves untrained what has `freezes` in
    its name. `penalty` is the method of peft's model that gives what is to be added to the loss. `searched` are the
    hyperparameters that a search tries beside the learning rate. `in_one_pass`: it is LoRA's update, scaled otherwise.
    """

    trains: str
    paper: str
    family: str
    learning_rate: float
    learning_rate_source: str
    defaults: Mapping[str, Any] = field(default_factory=dict)
    defaults_source: str = ""
    fits: Mapping[str, Fit] = field(default_factory=dict)
    targets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    peft_type: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    optimizer: str = ""
    optimizer_options: Mapping[str, float] = field(default_factory=dict)
    freezes: str = ""
    penalty: str = ""
    searched: Mapping[str, spaces.Range] = field(default_factory=dict)
    resumable: bool = True
    head_learning_rate: float | None = None
    in_one_pass: bool = False


LORA_RATE = 5e-4
"""LoRA's, from its paper."""
AS_LORA = "lora's here: peft's comparison trains both at one rate (its default, 1e-4)"
ALPHA = {"lora_alpha": 32}
ALPHA_SEARCHED = {"lora_alpha": spaces.ALPHA}
ALPHA_AS_LORA = "alpha is lora's here, so that only what makes the variant differs"

ABOUT: dict[str, About] = {
    "adamss": About(
        trains="low-rank updates in clusters of a weight's singular directions, and the head",
        paper="Zheng et al. 2025, AdaMSS (NeurIPS 2025, openreview 8ZdWmpYxT0)",
        family="lora-family",
        learning_rate=1e-3,
        learning_rate_source="peft's example for RoBERTa-base on SST-2, CoLA and QNLI (the head there: 5e-3)",
        defaults={"num_subspaces": 10},
        defaults_source="clusters from the same example; they aren't pruned, as without its --use_asa",
    ),
    "adaption_prompt": About(
        trains="a prompt that the upper layers attend to through a gate that starts closed, and the head",
        paper="Zhang et al. 2023, LLaMA-Adapter, arXiv 2303.16199",
        family="prompts",
        learning_rate=1.1e-3,
        learning_rate_source="the authors' script for LLaMA-7B on Alpaca (9e-3, times its batch of 32 over 256)",
        defaults={"adapter_len": 10},
        defaults_source="the same script: 10 tokens in the upper 30 layers, of 32",
        fits={"adapter_layers": Fit("layers", 30)},
    ),
    "beft": About(
        trains="a bias added to the value projections (to the whole of c_attn on GPT-2), and the head",
        paper="Huang et al. 2025, arXiv 2509.15974",
        family="selective",
        learning_rate=1e-3,
        learning_rate_source="the authors' script for BERT-base on RTE, CB and WiC (1e-4 to 7e-4 on larger data)",
        defaults_source="values as in the paper; on GPT-2 they come out of c_attn with queries and keys",
        targets={"gpt2": ("c_attn",)},
    ),
    "boft": About(
        trains="a rotation of each weight, block by block or by butterflies, and a scale of its outputs, and the head",
        paper="Liu et al. 2023, arXiv 2311.06243",
        family="orthogonal",
        learning_rate=6e-4,
        learning_rate_source="no rate for texts seen; PSOFT's, a rotation too (peft's comparison: its default, 1e-4)",
        defaults_source="peft's own; one butterfly factor, as more need its CUDA extension, which isn't compiled",
        options={"boft_n_butterfly_factor": 1},
        fits={"boft_block_size": Fit("divides", 4)},
    ),
    "c3a": About(
        trains="kernels of circular convolutions beside the targeted layers, and the head",
        paper="Chen et al. 2024, arXiv 2407.19342",
        family="spectral",
        learning_rate=1e-1,
        learning_rate_source="peft's documentation, to start from (its example: 0.3); lora's for the head",
        head_learning_rate=LORA_RATE,
        fits={"block_size": Fit("divides", 256)},
    ),
    "cartridge": About(
        trains="keys and values before the text in every layer, but for the first token's, and the head",
        paper="Eyuboglu et al. 2025, arXiv 2506.06266",
        family="prompts",
        learning_rate=5e-3,
        learning_rate_source="prefix's here, the same parameters (peft's example, distilling a long text: 1e-3)",
        defaults={"num_virtual_tokens": 20},
        searched={"num_virtual_tokens": spaces.TOKENS},
        defaults_source="as many tokens as prefix here; they start random, without a text to take them from",
    ),
    "deft": About(
        trains="a low-rank part of each weight that is taken out, and what replaces it, and the head",
        paper="Kumar et al. 2025, DEFT (NeurIPS 2025)",
        family="lora-family",
        learning_rate=3e-4,
        learning_rate_source="peft's example (deft_finetuning)",
        defaults={"alpha": 16},
        defaults_source="alpha is twice the rank, as in peft's example",
    ),
    "delora": About(
        trains="a low-rank update whose strength is learned apart from its direction, and the head",
        paper="Bini et al. 2025, arXiv 2503.18225",
        family="lora-family",
        learning_rate=1e-3,
        learning_rate_source="the authors' script for RoBERTa-base on SST-2, r 8 (its lambda: 3e-3)",
        defaults={"delora_lambda": 12},
        defaults_source="lambda from the same script",
    ),
    "dora": About(
        trains="LoRA's update of a weight's direction, and the weight's magnitudes, and the head",
        paper="Liu et al. 2024, arXiv 2402.09353",
        family="lora-family",
        learning_rate=LORA_RATE,
        learning_rate_source=AS_LORA,
        defaults=ALPHA,
        searched=ALPHA_SEARCHED,
        defaults_source=ALPHA_AS_LORA,
        peft_type="LORA",
        options={"use_dora": True},
    ),
    "fourierft": About(
        trains="a few coefficients of each weight update's Fourier transform, and the head",
        paper="Gao et al. 2024, arXiv 2405.03003",
        family="spectral",
        learning_rate=5e-2,
        learning_rate_source="the authors' script for RoBERTa-base on SST-2, the head's too",
        head_learning_rate=6e-3,
        defaults={"scaling": 140.0},
        defaults_source="scaling from the same script",
        fits={"n_frequency": Fit("entries", 1000)},
    ),
    "frod": About(
        trains="a diagonal and sparse other coefficients of each weight in a basis that all share, and the head",
        paper="Wan et al. 2025, arXiv 2512.23485",
        family="lora-family",
        learning_rate=2e-3,
        learning_rate_source="peft's example for BERT-base on SST-2: the sparse ones' (diagonal 2e-2, head 1e-2)",
        defaults={"sparse_rate": 0.02, "progressbar": False},
        defaults_source="sparsity from the same example",
    ),
    "glora": About(
        trains="low-rank, scaling and shifting updates of weights and biases, and the head",
        paper="Chavan et al. 2023, arXiv 2306.07967",
        family="lora-family",
        learning_rate=3e-4,
        learning_rate_source="peft's example (glora_finetuning), r 8",
    ),
    "gralora": About(
        trains="a low-rank update of each block of the targeted layers, and the head",
        paper="Jung et al. 2025, arXiv 2505.20355",
        family="lora-family",
        learning_rate=2e-4,
        learning_rate_source="peft's comparison, r 32; the authors' scripts have it too",
        defaults={"r": 8, "alpha": 16},
        defaults_source="r is lora's here, for as many parameters; alpha is twice r, as in peft's comparison",
        fits={"gralora_k": Fit("divides", 2)},
    ),
    "hira": About(
        trains="a low-rank factor that each weight is multiplied by, entry by entry, and the head",
        paper="Huang et al. 2025, HiRA (ICLR 2025, openreview TwJrTz9cRS)",
        family="lora-family",
        learning_rate=4.5e-3,
        learning_rate_source="peft's comparison, r 32",
        defaults={"r": 8},
        defaults_source="r is lora's here, for as many parameters",
    ),
    "hra": About(
        trains="reflections of the targeted layers' inputs, and the head",
        paper="Yuan et al. 2024, arXiv 2405.17484",
        family="orthogonal",
        learning_rate=6e-3,
        learning_rate_source="the authors' script for DeBERTaV3-base on SST-2, r 8",
    ),
    "kasa": About(
        trains="LoRA's factors with learned singular values, on weights without their smallest ones, and the head",
        paper="Wang et al. 2024, arXiv 2412.06071",
        family="lora-family",
        learning_rate=5e-4,
        learning_rate_source="the authors' script for RoBERTa-base on SST-2, r 8",
        defaults={"lora_alpha": 16},
        searched=ALPHA_SEARCHED,
        defaults_source="alpha and the penalties' weights from the same script",
        fits={"r": Fit("below rank", 8)},
        peft_type="LORA",
        options={"kasa_config": {"beta": 1e-4, "gamma": 1e-3}},
        penalty="_get_kasa_loss",
    ),
    "lily": About(
        trains="low-rank updates whose second factors all layers share, mixed by what goes in, and the head",
        paper="Zhong et al. 2024, arXiv 2407.09946",
        family="lora-family",
        learning_rate=5e-3,
        learning_rate_source="the authors' script for RoBERTa-base on GLUE (the head: 5e-3 or 1e-2)",
        defaults={"scaling": 0.01},
        defaults_source="scaling from the same script on SST-2; its rank and number of shared factors are peft's own",
    ),
    "ln_tuning": About(
        trains="the layer norms, and the head",
        paper="Zhao et al. 2023, arXiv 2312.11420",
        family="scaling",
        learning_rate=1e-3,
        learning_rate_source="no rate for a classifier seen; the upper end of BEFT's for the biases of BERT-base",
        defaults_source="all layer norms",
        targets={"bert": ("LayerNorm",)},
    ),
    "loha": About(
        trains="an update that is the product, entry by entry, of two low-rank ones, and the head",
        paper="Hyeon-Woo et al. 2021, arXiv 2108.06098",
        family="lora-family",
        learning_rate=LORA_RATE,
        learning_rate_source=AS_LORA,
    ),
    "lokr": About(
        trains="an update that is a Kronecker product of a small matrix and a low-rank one, and the head",
        paper="Yeh et al. 2023, arXiv 2309.14859",
        family="lora-family",
        learning_rate=3e-3,
        learning_rate_source="peft's comparison, r 32 and factor 4",
        defaults={"alpha": 16, "decompose_factor": 4},
        defaults_source="factor, and alpha twice the rank, as in peft's comparison",
    ),
    "lora_fa": About(
        trains="LoRA's second factor alone, the first as drawn, and the head",
        paper="Zhang et al. 2023, arXiv 2308.03303",
        family="lora-family",
        learning_rate=LORA_RATE,
        learning_rate_source=AS_LORA,
        defaults=ALPHA,
        searched=ALPHA_SEARCHED,
        defaults_source=ALPHA_AS_LORA,
        peft_type="LORA",
        optimizer="create_lorafa_optimizer",
        freezes="lora_A",
    ),
    "lora_orthogonal": About(
        trains="LoRA's update from factors that start orthogonal to each other, and the head",
        paper="none: peft's documentation (init_lora_weights)",
        family="lora-family",
        learning_rate=LORA_RATE,
        learning_rate_source="lora's here: it is LoRA from another start, and no other rate was seen",
        defaults=ALPHA,
        searched=ALPHA_SEARCHED,
        defaults_source=ALPHA_AS_LORA,
        peft_type="LORA",
        options={"init_lora_weights": "orthogonal"},
    ),
    "lora_plus": About(
        trains="LoRA's update, its second factor at a higher learning rate, and the head",
        paper="Hayou et al. 2024, arXiv 2402.12354",
        family="lora-family",
        learning_rate=2e-4,
        learning_rate_source="the authors' script for GPT-2 on MNLI, r 8: ten times this for the second factor",
        defaults_source="peft's own: rank and alpha are the same script's",
        searched=ALPHA_SEARCHED,
        peft_type="LORA",
        optimizer="create_loraplus_optimizer",
        optimizer_options={"loraplus_lr_ratio": 10.0},
    ),
    "mica": About(
        trains="LoRA's first factor alone, the second the weight's least singular directions, and the head",
        paper="Rüdiger & Raschka 2026, arXiv 2604.01694",
        family="lora-family",
        learning_rate=LORA_RATE,
        learning_rate_source=AS_LORA,
        defaults=ALPHA,
        searched=ALPHA_SEARCHED,
        defaults_source=ALPHA_AS_LORA,
        fits={"r": Fit("rank", 8)},
        peft_type="LORA",
        options={"init_lora_weights": "mica"},
    ),
    "miss": About(
        trains="one matrix a layer that pieces of the input share, and the head",
        paper="Kang & Yin 2024, arXiv 2409.15371",
        family="lora-family",
        learning_rate=1e-4,
        learning_rate_source="the default of peft's comparison (its example for Llama-2-7B: 2e-5)",
        fits={"r": Fit("divides", 64)},
    ),
    "miss_bat": About(
        trains="one block a group of outputs that multiplies pieces of the weight, and the head",
        paper="Kang & Yin 2024, arXiv 2409.15371",
        family="lora-family",
        learning_rate=1e-4,
        learning_rate_source="the default of peft's comparison (its example for Llama-2-7B: 2e-5)",
        fits={"r": Fit("divides", 64)},
        peft_type="MISS",
        options={"init_weights": "bat"},
    ),
    "miss_mini": About(
        trains="one small matrix a layer that pieces of input and output share, and the head",
        paper="Kang & Yin 2024, arXiv 2409.15371",
        family="lora-family",
        learning_rate=1e-4,
        learning_rate_source="the default of peft's comparison (its example for Llama-2-7B: 2e-5)",
        defaults_source="mini_r from peft's comparison",
        fits={"r": Fit("divides", 64), "mini_r": Fit("divides", 64)},
        peft_type="MISS",
        options={"init_weights": "mini"},
    ),
    "monteclora": About(
        trains="LoRA's update and the spread of noise that its first factor is trained under, and the head",
        paper="Sengupta et al. 2024, arXiv 2411.04358",
        family="lora-family",
        learning_rate=2e-4,
        learning_rate_source="peft's example for RoBERTa-base on MRPC, r 8",
        defaults={"lora_alpha": 16},
        searched=ALPHA_SEARCHED,
        defaults_source="alpha and samples from the same example",
        peft_type="LORA",
        options={"monteclora_config": {"num_samples": 10}},
        penalty="_get_monteclora_loss",
        resumable=False,  # it draws noise ahead, into a list
    ),
    "oft": About(
        trains="a rotation of the targeted layers' inputs, block by block, and the head",
        paper="Qiu et al. 2023, arXiv 2306.07280",
        family="orthogonal",
        learning_rate=6e-4,
        learning_rate_source="no rate for texts seen; PSOFT's, a rotation too (peft's comparison: its default, 1e-4)",
        fits={"oft_block_size": Fit("divides", 32)},
    ),
    "olora": About(
        trains="LoRA's factors, which start as part of the weight's QR decomposition, and the head",
        paper="Büyükakyüz 2024, arXiv 2406.01775",
        family="lora-family",
        learning_rate=3e-4,
        learning_rate_source="peft's example (olora_finetuning)",
        searched=ALPHA_SEARCHED,
        peft_type="LORA",
        options={"init_lora_weights": "olora"},
    ),
    "osf": About(
        trains="the lesser half of each weight's singular directions, kept orthogonal to the other, and the head",
        paper="Nayak et al. 2025, arXiv 2504.07097",
        family="other",
        learning_rate=1e-4,
        learning_rate_source="the upper end of what peft's documentation advises (its comparison: 5e-5)",
    ),
    "p_tuning": About(
        trains="a network that makes tokens before the text, and the head",
        paper="Liu et al. 2021, arXiv 2103.10385",
        family="prompts",
        learning_rate=1e-3,
        learning_rate_source="peft's example for RoBERTa-large on MRPC",
        defaults={"num_virtual_tokens": 20, "encoder_hidden_size": 128},
        searched={"num_virtual_tokens": spaces.TOKENS},
        defaults_source="the same example",
    ),
    "peanut": About(
        trains="a small network that makes each weight's update out of the weight, and the head",
        paper="Zhong et al. 2024, arXiv 2410.01870",
        family="lora-family",
        learning_rate=5e-3,
        learning_rate_source="the authors' script for RoBERTa-base on SST-2 (its smallest size)",
        defaults={"r": 8, "scaling": 0.01},
        defaults_source="the authors' rank where all layers adapt; scaling from the same script",
    ),
    "pissa": About(
        trains="LoRA's factors, which start as the weight's greatest singular directions, and the head",
        paper="Meng et al. 2024, arXiv 2404.02948",
        family="lora-family",
        learning_rate=3e-4,
        learning_rate_source="no rate for a model of this size seen; OLoRA's, whose factors start from the weight too",
        defaults_source="peft's own: alpha is the rank, as in peft's example of PiSSA",
        searched=ALPHA_SEARCHED,
        peft_type="LORA",
        options={"init_lora_weights": "pissa"},
    ),
    "prompt_tuning": About(
        trains="tokens before the text, and the head",
        paper="Lester et al. 2021, arXiv 2104.08691",
        family="prompts",
        learning_rate=1e-3,
        learning_rate_source="peft's example for RoBERTa-large on MRPC; a rate of its comparison too",
        defaults={"num_virtual_tokens": 20},
        searched={"num_virtual_tokens": spaces.TOKENS},
        defaults_source="as many tokens as prefix and p_tuning here",
    ),
    "psoft": About(
        trains="a rotation and scales within each weight's greatest singular directions, and the head",
        paper="Wu et al. 2025, arXiv 2505.11235",
        family="orthogonal",
        learning_rate=6e-4,
        learning_rate_source="the authors' script for DeBERTaV3-base on CoLA, r 46",
        fits={"r": Fit("rank", 32)},
    ),
    "pvera": About(
        trains="scales of two random matrices that all layers share, drawn anew each time, and the head",
        paper="Fillioux et al. 2025, arXiv 2512.07703",
        family="lora-family",
        learning_rate=3e-3,
        learning_rate_source="peft's comparison, r 256",
    ),
    "randlora": About(
        trains="scales of random matrices that all layers share and that sum to a full rank, and the head",
        paper="Albert et al. 2025, arXiv 2502.00987",
        family="lora-family",
        learning_rate=1e-4,
        learning_rate_source="the authors' script for RoBERTa-base on GLUE (there r 64)",
    ),
    "riemannian": About(
        trains="LoRA's update, its gradients preconditioned by the other factor, and the head",
        paper="Zhang & Pilanci 2024, arXiv 2402.02347",
        family="lora-family",
        learning_rate=LORA_RATE,
        learning_rate_source=AS_LORA,
        defaults=ALPHA,
        searched=ALPHA_SEARCHED,
        defaults_source=f"{ALPHA_AS_LORA}; damping is peft's",
        peft_type="LORA",
        optimizer="create_riemannian_optimizer",
        optimizer_options={"reg": 1e-2},
    ),
    "road": About(
        trains="a rotation and a scale of pairs of the targeted layers' outputs, and the head",
        paper="Liao & Monz 2024, arXiv 2409.00119",
        family="orthogonal",
        learning_rate=1e-3,
        learning_rate_source="peft's documentation and its comparison",
        fits={"group_size": Fit("divides", 64)},
    ),
    "rslora": About(
        trains="LoRA's update, scaled by alpha over the root of the rank, and the head",
        paper="Kalajdzievski 2023, arXiv 2312.03732",
        family="lora-family",
        learning_rate=LORA_RATE,
        learning_rate_source=AS_LORA,
        defaults=ALPHA,
        searched=ALPHA_SEARCHED,
        defaults_source=ALPHA_AS_LORA,
        peft_type="LORA",
        options={"use_rslora": True},
        in_one_pass=True,
    ),
    "shira": About(
        trains="a few entries of each weight, chosen at random, and the head",
        paper="Bhardwaj et al. 2024, arXiv 2406.13175",
        family="sparse",
        learning_rate=3e-4,
        learning_rate_source="peft's example (shira_finetuning) and its comparison",
        defaults_source="as many parameters as lora here",
        fits={"r": Fit("lora's entries", 8)},
    ),
    "supertuning": About(
        trains="the largest entries of each weight, one in a hundred, and the head",
        paper="Ilin et al. 2026, arXiv 2607.09287",
        family="sparse",
        learning_rate=1e-4,
        learning_rate_source="peft's example (supertuning_finetuning); the default of its comparison too",
    ),
    "tinylora": About(
        trains="a short vector a layer that mixes random matrices between its singular directions, and the head",
        paper="Morris et al. 2026, arXiv 2602.04118",
        family="lora-family",
        learning_rate=1e-3,
        learning_rate_source="peft's comparison",
    ),
    "unilora": About(
        trains="one vector that all entries of LoRA's factors are taken from, and the head",
        paper="Li et al. 2025, arXiv 2506.00799",
        family="lora-family",
        learning_rate=5e-3,
        learning_rate_source="the authors' script for RoBERTa-base on CoLA, r 4",
        defaults={"theta_d_length": 23040},
        defaults_source="the vector's length from the same script",
    ),
    "vblora": About(
        trains="a bank of vectors that LoRA's factors are made of, and how each mixes them, and the head",
        paper="Li et al. 2024, arXiv 2405.15179",
        family="lora-family",
        learning_rate=4e-3,
        learning_rate_source="the authors' script for RoBERTa-base on SST-2: the head's (bank 1e-3, mixing 1e-2)",
        defaults={"num_vectors": 90},
        defaults_source="the bank's size from the same script",
        fits={"vector_length": Fit("divides", 256)},
    ),
    "velora": About(
        trains="LoRA's update, from inputs kept compressed for the backward pass, and the head",
        paper="Miles et al. 2024, arXiv 2405.17991",
        family="lora-family",
        learning_rate=LORA_RATE,
        learning_rate_source="lora's here: it is LoRA with less memory, and no other rate was seen",
        defaults=ALPHA,
        searched=ALPHA_SEARCHED,
        defaults_source=f"{ALPHA_AS_LORA}; the compression is that of peft's documentation",
        peft_type="LORA",
        options={"velora_config": {"num_groups": 64, "scale": 0.2, "init_type": "batch_average"}},
    ),
    "vera": About(
        trains="scales of two random matrices that all layers share, and the head",
        paper="Kopiczko et al. 2023, arXiv 2310.11454",
        family="lora-family",
        learning_rate=1e-2,
        learning_rate_source="RandLoRA's authors' script for VeRA, r 256, on RoBERTa-base on GLUE",
    ),
    "waveft": About(
        trains="a few coefficients of each weight update's wavelet transform, and the head",
        paper="Bilican et al. 2025, arXiv 2505.12532",
        family="spectral",
        learning_rate=3e-4,
        learning_rate_source="peft's example (waveft_finetuning)",
        defaults_source="as many coefficients as fourierft",
        fits={"n_frequency": Fit("entries", 1000)},
    ),
}
"""Types by peft's name in lower case and variants by theirs; types with a file of their own aren't here."""

UNABLE: dict[str, str] = {
    "alora": "adapts only what follows an invocation, which texts to classify don't have",
    "arrow": "routes between LoRA adapters that were trained before",
    "bdlora": "shapes LoRA for serving on several GPUs, by how each architecture's layers are split between them",
    "corda": "starts LoRA from the covariance of inputs, which takes a pass over the data before training",
    "cpt": "tunes worked examples in a prompt; peft has it for causal language modelling only",
    "eva": "starts LoRA from the singular vectors of inputs, which takes a pass over the data before training",
    "loftq": "starts LoRA from the error of quantisation, on a quantised backbone",
    "lora_ga": "starts LoRA from gradients of the whole weights, which takes a pass over the data before training",
    "multitask_prompt_tuning": "learns from several tasks at once: each text needs a task's number",
    "poly": "learns from several tasks at once: each text needs a task's number",
    "qalora": "averages inputs to match a quantised backbone",
    "shadow": "its loss needs the labels in the forward pass, and on GPT-2 its network has an idle embedding table",
    "trainable_tokens": "trains the embeddings of tokens that a person picks, and has no place for a head",
    "xlora": "mixes LoRA adapters that were trained before",
}
"""Types and variants that can't take part, each with the reason."""
