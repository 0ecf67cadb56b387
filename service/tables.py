"""The tables of the catalogue: every name that a job can use, with where its object is and one line on what it is."""

from service.entries import Aggregate, Entry, ObjectiveEntry

SPACES = {
    "ofa_mobilenet_v3": Entry(
        "search_spaces.families.mobilenet_v3:ofa_mobilenet_v3",
        "Once-for-All MobileNetV3 for large images, 2.18e19 architectures",
    ),
    "small_mobilenet_v3": Entry(
        "search_spaces.families.mobilenet_v3:small_mobilenet_v3",
        "MobileNetV3 for images of 8 to 64 pixels; its sizes are options",
    ),
    "nasbench201": Entry(
        "search_spaces.families.nasbench201:nasbench201", "cells of four nodes and six edges, 15,625 architectures"
    ),
    "darts": Entry("search_spaces.families.darts:darts", "pairs of cells of four nodes, 1.08e18 architectures"),
    "nasbench101": Entry(
        "search_spaces.families.nasbench101:nasbench101", "cells that are small graphs, 423,624 architectures"
    ),
    "nasbench_macro": Entry(
        "search_spaces.families.nasbench_macro:nasbench_macro",
        "eight layers, each a skip or a MobileNet block, 6,561 architectures",
    ),
    "proxyless": Entry(
        "search_spaces.families.proxyless:proxyless",
        "ProxylessNAS: 21 layers of skips or MobileNet blocks, 2.2e17 architectures",
    ),
    "timm": Entry("search_spaces.families.timm_elastic:timm", "the subnets of any timm classifier, or of your own"),
    "pooling": Entry(
        "search_spaces.families.pooling:pooling", "ResNets whose poolings stand before any block, 36 to 560 positions"
    ),
    "hr_multibranch": Entry(
        "search_spaces.families.hr_multibranch:hr_multibranch",
        "SuperTickets, HR-NAS: channels of parallel paths at several resolutions",
    ),
    "autoformer": Entry(
        "search_spaces.families.autoformer:autoformer", "AutoFormer: vision transformers, tiny, small and base"
    ),
    "small_autoformer": Entry(
        "search_spaces.families.autoformer:small_autoformer", "AutoFormer for images of 16 to 64 pixels"
    ),
    "hat": Entry("search_spaces.families.hat:hat", "HAT: transformers for translation, 4.2e14 architectures"),
    "small_hat": Entry("search_spaces.families.hat:small_hat", "HAT for one processor; its sizes are options"),
    "language": Entry(
        "search_spaces.families.language:language", "SortedNet, MatFormer: language models of nested sizes"
    ),
    "bert": Entry("search_spaces.families.bert:bert", "SuperShaper: BERT with layers of their own width, 7^12"),
    "small_bert": Entry("search_spaces.families.bert:small_bert", "SuperShaper for one processor"),
    "conv_macro": Entry(
        "search_spaces.families.conv_macro:conv_macro",
        "TangleNAS: widths and kernels of four convolutions, 6,561 architectures",
    ),
    "split": Entry(
        "search_spaces.families.split:split", "split computing: a network that is cut between a device and a server"
    ),
    "gnn": Entry(
        "search_spaces.families.gnn:gnn", "Auto-GNN, GraphNAS: layers of message passing, 12,644,352 architectures"
    ),
    "joined": Entry(
        "search_spaces.families.joined:joined", "NASAIC: several networks and the sub-accelerators that run them"
    ),
    "nasbench_graph": Entry(
        "search_spaces.families.nasbench_graph:nasbench_graph",
        "four operations on a graph, with published tables; 26,206 architectures",
    ),
}
SAMPLERS = {
    "uniform": Entry("supernets.samplers:Uniform", "random subnets: the single-path baseline"),
    "sandwich": Entry("supernets.samplers:Sandwich", "the largest subnet teaches random ones and the smallest"),
    "progressive_guidance": Entry(
        "supernets.samplers:ProgressiveGuidance", "EQ-Net: the largest subnet teaches random ones, these the smallest"
    ),
    "part_sandwich": Entry(
        "supernets.samplers:PartSandwich", "the largest subnet, and a sandwich in one part of the space, such as a cut"
    ),
    "fair": Entry("supernets.samplers:Fair", "FairNAS: trains every choice once in every step"),
    "path_adaptive": Entry(
        "supernets.samplers:PathAdaptive", "PA&DA: draws choices by the gradient norms of their weights"
    ),
    "prior": Entry("supernets.samplers:Prior", "a control: prefers choices with weights, by a fixed prior"),
    "sorted": Entry("supernets.samplers:Sorted", "SortedNet: nested subnets, from the smallest to the whole network"),
    "shift": Entry("supernets.samplers:Shift", "ShiftNAS, experimental: prefers the costs that are least trained"),
    "budget_balanced": Entry(
        "supernets.samplers:BudgetBalanced", "LLM-QFA: a mean budget that falls and rises, from largest to smallest"
    ),
}
SEARCHERS = {
    "surrogate": Entry(
        "nas.searchers.surrogate:Surrogate", "a model proposes what to evaluate: for small evaluation budgets"
    ),
    "halving": Entry(
        "nas.searchers.halving:SuccessiveHalving",
        "evaluates many on a part of the validation split, the best on all of it",
    ),
    "nsga2": Entry("nas.searchers.nsga2:NSGA2", "evolves a whole Pareto front of several objectives"),
    "nsga3": Entry("nas.searchers.nsga3:NSGA3", "as nsga2, by reference directions: for three objectives and more"),
    "age_moea": Entry("nas.searchers.age_moea:AgeMoea", "as nsga2, adapted to the shape of the front"),
    "linas": Entry("nas.searchers.linas:Linas", "searches on predictors of all evaluations: for small budgets"),
    "ofa_evolution": Entry(
        "nas.searchers.ofa_evolution:OfaEvolution", "Once-for-All: the best quarter of a generation has children"
    ),
    "regularized_evolution": Entry(
        "nas.searchers.regularized_evolution:RegularizedEvolution", "mutates the best of a sample and drops the oldest"
    ),
    "conservative": Entry(
        "nas.searchers.conservative:Conservative", "Auto-GNN: changes one class of decisions of the best at a time"
    ),
    "controller": Entry(
        "nas.searchers.controller:Controller", "NASAIC: a recurrent policy that learns by REINFORCE; limits prune early"
    ),
    "derived": Entry("nas.searchers.derived:Derived", "DARTS, TangleNAS: the most probable choices that were learned"),
    "optuna_tpe": Entry("nas.searchers.optuna_samplers:OptunaTPE", "Parzen estimators by Optuna"),
    "optuna_gp": Entry("nas.searchers.optuna_samplers:OptunaGP", "Gaussian process by Optuna"),
    "optuna_nsga3": Entry("nas.searchers.optuna_samplers:OptunaNSGA3", "NSGA-III by Optuna"),
    "random": Entry("nas.searchers.random:Random", "draws architectures uniformly: the baseline to beat"),
}
COST, _ANY_TIME_MS = "nas.objectives.cost:Cost", 1e-9
OBJECTIVES = {
    "quality": ObjectiveEntry(
        "nas.objectives.quality:Quality",
        "metric of the task on the validation split; may be given by its own name",
        *("quality", "measured"),
    ),
    "macs": ObjectiveEntry(COST, "exact multiply-accumulates of one input, minimised", "cost", "computed", "MACs", 0.0),
    "params": ObjectiveEntry(COST, "exact number of weights, minimised", "cost", "computed", "weights", 0.0),
    "latency_ms": ObjectiveEntry(
        "service.run.problem:latency_objective",
        "measured milliseconds of one batch, minimised",
        *("cost", "measured", "ms", _ANY_TIME_MS),
    ),
    "roofline_ms": ObjectiveEntry(
        "service.run.problem:roofline_objective",
        "analytic: milliseconds by the data sheet of a device, not measured",
        *("cost", "computed", "ms", _ANY_TIME_MS),
        needs_device_on_paper=True,
    ),
    "end_to_end_ms": ObjectiveEntry(
        "service.run.problem:end_to_end_objective",
        "split computing: milliseconds of device, link and server, minimised",
        *("cost", "measured", "ms", _ANY_TIME_MS),
        needs_link=True,
    ),
    "published_ms": ObjectiveEntry(
        "service.run.problem:published_objective",
        "milliseconds that published tables of HAT predict for a device, minimised",
        *("cost", "predicted", "ms", _ANY_TIME_MS),
    ),
}
DEVICES = {
    "v100": Entry("nas.hardware.devices:v100", "analytic: NVIDIA V100 SXM2, 15.7 TFLOP/s fp32, 900 GB/s"),
    "a100": Entry("nas.hardware.devices:a100", "analytic: NVIDIA A100 SXM 80 GB, 19.5 TFLOP/s fp32, 2039 GB/s"),
    "h100": Entry("nas.hardware.devices:h100", "analytic: NVIDIA H100 SXM, 67 TFLOP/s fp32, 3350 GB/s"),
    "h200": Entry("nas.hardware.devices:h200", "analytic: NVIDIA H200 SXM, 67 TFLOP/s fp32, 4800 GB/s"),
    "jetson_agx_orin": Entry(
        "nas.hardware.devices:jetson_agx_orin", "analytic: NVIDIA Jetson AGX Orin, 5.3 TFLOP/s fp32, 205 GB/s"
    ),
}
PROXIES = {
    "params": Entry("proxies.size:Params", "number of weights and biases; exact, without networks"),
    "macs": Entry("proxies.size:Macs", "multiply-accumulates of one input; exact, without networks"),
    "layers": Entry("proxies.size:Layers", "number of convolutions and linear layers that take part"),
    "plain": Entry("proxies.plain:Plain", "signed sum of weight times gradient"),
    "grad_norm": Entry("proxies.grad_norm:GradNorm", "sum over layers of the norm of the gradient"),
    "l2_norm": Entry("proxies.l2_norm:L2Norm", "sum over layers of the norm of the weights"),
    "snip": Entry("proxies.snip:Snip", "sum of |weight times gradient|"),
    "grasp": Entry("proxies.grasp:Grasp", "how much the gradient flow would fall without the weights"),
    "synflow": Entry("proxies.synflow:SynFlow", "path norm of the network; needs no data"),
    "logsynflow": Entry("proxies.logsynflow:LogSynFlow", "synflow with gradients in logarithm"),
    "fisher": Entry("proxies.fisher:Fisher", "squared activation times gradient, by channel"),
    "jacov": Entry("proxies.jacov:Jacov", "how different the input gradients of samples are"),
    "epe_nas": Entry("proxies.epe_nas:EpeNas", "correlation of input gradients within and between classes"),
    "nwot": Entry("proxies.nwot:Nwot", "how different the ReLU patterns of samples are"),
    "swap": Entry("proxies.swap:Swap", "number of distinct patterns of neurons over samples"),
    "zen": Entry("proxies.zen:Zen", "how strongly features react to noise on the input, as in the paper"),
    "zen_running": Entry("proxies.zen:ZenRunning", "the same with running variances, as in the released code"),
    "zico": Entry("proxies.zico:ZiCo", "mean over deviation of gradients between batches"),
    "meco": Entry("proxies.meco:MeCo", "least eigenvalue of the correlation of feature maps"),
    "ntk": Entry("proxies.ntk:Ntk", "condition number of the neural tangent kernel; lower is better"),
    "nasi": Entry("proxies.nasi:Nasi", "trace norm of the neural tangent kernel"),
    "linear_regions": Entry("proxies.linear_regions:LinearRegions", "distinct ReLU patterns over tiny inputs"),
    "az_expressivity": Entry("proxies.az_nas:Expressivity", "entropy of the spectrum of the features of each block"),
    "az_progressivity": Entry("proxies.az_nas:Progressivity", "least growth of that entropy from block to block"),
    "az_trainability": Entry("proxies.az_nas:Trainability", "how well each block passes gradients on"),
    "gradsign": Entry("proxies.gradsign:GradSign", "agreement of the signs of single samples' gradients"),
}
AGGREGATES = {
    "az_nas": Aggregate(
        "proxies.aggregate:log_rank",
        "AZ-NAS: sum of the logarithms of four ranks",
        ("az_expressivity", "az_progressivity", "az_trainability", "macs"),
    ),
    "te_nas": Aggregate(
        "proxies.aggregate:rank_sum",
        "TE-NAS: sum of the ranks of condition number and linear regions",
        ("ntk", "linear_regions"),
    ),
}
PREDICTORS = {
    "ridge": Entry("nas.predictors.ridge:Ridge", "linear, with a penalty chosen by leave-one-out error"),
    "gp": Entry("nas.predictors.gaussian_process:GaussianProcess", "Gaussian process: smooth, with uncertainty"),
    "mlp": Entry("nas.predictors.mlp:MLP", "several small perceptrons; their spread is the uncertainty"),
    "ridge_or_svr": Entry("nas.predictors.ridge_svr:RidgeOrSVR", "LINAS: linear or radial, by cross-validation"),
    "boosted_trees": Entry("nas.predictors.local_models:BoostedTrees", "small trees, each fitted to what is left"),
    "nearest": Entry("nas.predictors.local_models:NearestRows", "mean of the nearest rows: no model at all"),
    "cqap": Entry("nas.predictors.cqap:CQAP", "EQ-Net: a deep perceptron on one-hot choices; for many evaluations"),
    "parzc": Entry("nas.predictors.parzc:ParZC", "ParZC: ranks by layer-wise zero-cost scores"),
}
EXECUTORS = {
    "local": Entry("service.queue.executors.local:Local", "the GPUs and cores of this machine; nothing to set up"),
    "inline": Entry(
        "service.queue.executors.inline:Inline", "this process, one job after the other: for trying things out"
    ),
    "slurm": Entry("service.queue.executors.slurm:Slurm", "a SLURM cluster"),
}
BACKENDS = {
    "torch": Entry("nas.hardware.backends.torch:Backend", "PyTorch, operation by operation; also over ssh"),
    "torch_compile": Entry("nas.hardware.backends.torch_compile:Backend", "PyTorch compiled by torch.compile"),
    "onnxruntime": Entry("nas.hardware.backends.onnxruntime:Backend", "ONNX Runtime on CPU or CUDA; also over ssh"),
    "openvino": Entry("nas.hardware.backends.openvino:Backend", "OpenVINO on the processor"),
    "cuda_graph": Entry("nas.hardware.backends.cuda_graph:Backend", "PyTorch on CUDA, the pass captured as one graph"),
    "tensorrt": Entry("nas.hardware.backends.tensorrt:Backend", "an engine that TensorRT builds for a CUDA device"),
}
TASKS = {
    "classification": Entry(
        "supernets.tasks.classification:Classification", "one label per example, cross entropy, top-1 accuracy"
    ),
    "translation": Entry(
        "supernets.tasks.translation:Translation", "a target for each source, judged by BLEU or perplexity"
    ),
    "language": Entry("supernets.tasks.language:Language", "text from left to right, judged by perplexity"),
    "masked_language": Entry("supernets.tasks.language:MaskedLanguage", "text with gaps, judged by perplexity"),
    "nodes": Entry("supernets.tasks.nodes:Nodes", "a class for each node of a graph, judged by accuracy"),
    "workload": Entry("supernets.tasks.workload:Workload", "several networks on the same data, judged by their mean"),
    "node_labels": Entry("supernets.tasks.nodes:NodeLabels", "several labels for each node, judged by micro-F1"),
}
DATA = {
    "digits": Entry("nas.data.sources.digits:open_digits", "8x8 digits of scikit-learn; nothing to download"),
    "npz": Entry("nas.data.sources.npz:open_npz", "JPEG files in one array of an npz file"),
    "folder": Entry("nas.data.sources.folder:open_folder", "one folder of images per class"),
    "timm": Entry("nas.data.sources.timm:open_timm", "any random-access dataset of timm.data.create_dataset"),
    "noise": Entry("nas.data.sources.noise:open_noise", "random images and labels, for costs and latency"),
    "parallel_text": Entry(
        "nas.data.sources.parallel_text:open_parallel_text", "sentences and their translations, line by line"
    ),
    "text": Entry("nas.data.sources.text:open_text", "lines of text, to be continued or with gaps"),
    "planetoid": Entry("nas.data.sources.planetoid:open_planetoid", "a graph with labels at its nodes"),
}
STAGES = {
    "train": Entry("service.run.stages.train:Train", "trains the supernet, by all processes of a job"),
    "search": Entry("service.run.stages.search:Search", "evaluates architectures and remembers them"),
    "measure": Entry(
        "service.run.stages.measure:Measure", "measures the best again and decides which are on the front"
    ),
    "test": Entry("service.run.stages.test:Test", "judges the front on the test split and writes the report"),
    "retrain": Entry("service.run.stages.retrain:Retrain", "fine-tunes members of the front; not part of a whole job"),
    "scratch": Entry(
        "service.run.stages.scratch:Scratch", "trains members of the front from fresh weights; not part of a whole job"
    ),
}
WANTED_DATA = dict.fromkeys(("timm", "split"), "search_spaces.weights.images:wanted_images")
"""Space -> function of its options that returns settings of `data` which its weights ask for."""
