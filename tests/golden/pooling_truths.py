"""Published accuracies of all 36 positions of poolings in ResNet-20 on CIFAR-10, the mean of three trainings each.

Source: Javan et al., Balanced Mixture of SuperNets for Learning the CNN Pooling Architecture, AutoML-Conf 2023 (PMLR
v224), table 6. The key is the number of layers at each resolution.
"""

# fmt: off
TRUTHS = {
    "118": 87.45, "127": 87.69, "136": 87.89, "145": 88.60, "154": 89.38, "163": 90.13, "172": 90.16, "181": 89.41,
    "217": 88.78, "226": 89.03, "235": 90.42, "244": 90.57, "253": 90.89, "262": 91.01, "271": 90.22, "316": 89.10,
    "325": 89.70, "334": 90.61, "343": 90.92, "352": 90.88, "361": 90.14, "415": 89.68, "424": 90.34, "433": 90.52,
    "442": 90.85, "451": 89.71, "514": 91.05, "523": 90.96, "532": 91.55, "541": 89.84, "613": 91.78, "622": 91.83,
    "631": 90.96, "712": 92.01, "721": 90.47, "811": 89.99,
}
# fmt: on
