"""What is said beside an answer, on standard error: what a user should know of it."""

from __future__ import annotations


def notices(
    vlm, prompt: str, ids: list[int], confidence: float, asked: bool = False
) -> list[str]:
    """The notices of an answer; most answers have none. `asked` says that the prompt
    is meant as a question."""
    found = []
    if asked and not vlm.family.answers:
        found.append(
            "this model writes captions and answers no questions: it went on from "
            "yours as from the beginning of a caption. `refvlm describe` lets it "
            "caption, and its --prompt begins the caption"
        )
    if ids and not is_finished(vlm, ids):
        found.append(
            f"cut at --max-new-tokens {len(ids)}: a larger number lets it go on"
        )
    if is_of_scenes(vlm):
        from ..metrics.limits import UNSURE

        found += _of_the_question(prompt, hasattr(vlm, "remember"))
        if confidence < UNSURE:
            found.append(
                f"unsure: the least likely word had a probability of {confidence:.2f}"
            )
    return found


def is_finished(vlm, ids: list[int]) -> bool:
    """Whether the model itself ended its answer."""
    return bool(ids) and ids[-1] in vlm.stop_ids


def is_of_scenes(vlm) -> bool:
    """Whether these are the weights that come along, which know a drawn world alone."""
    from ..pretrained.shipped import SHIPPED, shipped

    here = vlm.directory.resolve()
    folders = [shipped(name) for name in SHIPPED]
    return any(each.is_dir() and here == each.resolve() for each in folders)


def _of_the_question(prompt, of_episodes):
    from ..scenes import wording
    from ..text import DESCRIBE

    forms = wording.OF_EPISODES if of_episodes else wording.FORMS
    if prompt == DESCRIBE or wording.form_of(prompt, forms):
        return []
    known = wording.spelled_as_known(prompt, forms)
    if known is None and prompt.rstrip(".?! ").lower() == DESCRIBE.lower()[:-1]:
        known = DESCRIBE
    if known is not None:
        return [f'these weights know this question in one spelling: "{known}"']
    return ["these weights know other questions: `refvlm ask --questions` lists them"]
