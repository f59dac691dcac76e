"""What every model card says alike: intended use, limits, the law, the terms of the data."""

SYNTHETIC = (
    "**Drawn faces.** This model was trained and scored on faces that a program drew. Its figures show that the "
    "pipeline works. They say nothing about real faces, and the model is of no use on them."
)

INTENDED_USE = """\
For research: on facial-expression recognition itself, on reproducing published systems, on calibration, robustness
and bias, and for teaching. It tells which of its labels people would most likely give to a picture of a face, cut out
and brought to grey pixels as its training images were."""

MISUSE = """\
- **An expression is not a feeling.** The labels are what annotators saw in photos, some of them posed. People smile
  without joy and are afraid without a sign of it, and how feelings show differs between people, situations and
  cultures (Barrett et al., "Emotional expressions reconsidered", 2019). The model must not be used to say what a
  person feels, intends, or is like.
- Not for decisions about people: hiring, grading, credit, insurance, policing, border control, health.
- Not for watching people who do not know of it or have not agreed.
- Not as a detector of lies, stress, attention, pain or illness: nothing of that kind was trained or tested."""

EU_AI_ACT = """\
In the European Union, Regulation (EU) 2024/1689 (the AI Act) applies to systems that infer emotions or intentions of
people from biometric data (Article 3(39)). This is a summary, not legal advice.

- **Prohibited**, Article 5(1)(f), since 2 February 2025: inferring emotions of people at the workplace and in
  education institutions, except for medical or safety reasons.
- **High-risk**, Article 6(2) with Annex III, point 1(c): as a rule, every other use for recognising emotions.
  Its providers and deployers have the duties of Chapter III: among others risk management, data governance,
  technical documentation, human oversight, accuracy and robustness. This model has not been through any such
  assessment.
- **Transparency**, Article 50(3): who deploys such a system must inform the people who are exposed to it, and
  process their data as the data-protection law demands.
- Systems developed and put into service only for scientific research are outside the Act (Article 2(6)); what is
  built with this model for other ends is not."""

LIMITS = """\
- One answer for every picture: there is no class for anything else. A face that is turned away, covered, badly lit,
  or no face at all gets an answer too, often with high confidence.
- A single picture without its situation. Nothing is learnt from movement, voice or words.
- The labels of the training data are noisy: people agree with those of FER-2013 in about 65% of the images
  (Goodfellow et al., 2013).
- Who the people in the training images are is not recorded. That the model serves all ages, skin colours and
  genders equally must be measured before it may be assumed.
- Figures of one run are one draw: another seed gives others."""

FER_TERMS = """\
FER-2013 (Goodfellow et al., "Challenges in representation learning: A report on three machine learning contests",
ICONIP 2013) was prepared by Pierre-Luc Carrier and Aaron Courville for a contest on Kaggle, from pictures that were
found by an image search. It is to be had there, under the contest's rules. The rights to the pictures, and those of
the people in them, are not the dataset's to give: do not publish any of its images, and take care that what is
derived from them stays within research. No image is part of this model's files that are listed for publishing
below; `image_usage.csv` names images by number and hash alone."""

OTHER_TERMS = "The datasets have their own terms, which bind whoever uses what is made from them: publish no faces."

LICENSE = """\
Code and weights: MIT, as far as they are ours to give. The terms of the training data stand beside it."""
