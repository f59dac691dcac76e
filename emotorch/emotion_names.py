"""The names of emotions, as folders and tables of datasets have them: in English, French, German, Spanish, Portuguese
and Italian, as nouns and as what a face is. Add a language's names here, and nowhere else.
"""

import unicodedata

# By FER-2013's names, and contempt, which it lacks. A name that means two of them, as `enojado` (angry in Spanish,
# disgusted in Portuguese), is not here. Accents may be missing in a dataset, and `ue` stand for `ü`.
_SPELLINGS = {
    "angry": """anger
        colère colérique fâché fâchée énervé énervée furieux furieuse
        wut wütend ärger ärgerlich verärgert zorn zornig
        enojo enfado enfadado enfadada ira rabia furioso furiosa cólera
        raiva zangado zangada
        rabbia arrabbiato arrabbiata collera""",
    "disgust": """digust disgusted
        dégoût dégoûté dégoûtée
        ekel angeekelt angewidert
        asco repugnancia
        nojo repugnância
        disgusto disgustato disgustata schifo""",
    "fear": """afraid fearful fearfull scared
        peur effrayé effrayée apeuré apeurée
        angst ängstlich verängstigt furcht
        miedo temor asustado asustada
        medo assustado assustada
        paura impaurito impaurita spaventato spaventata""",
    "happy": """happiness happyness joy joyful
        joie joyeux joyeuse heureux heureuse bonheur
        freude freudig fröhlich froh glücklich
        alegría alegre feliz felicidad
        alegria felicidade
        gioia felice felicità allegria""",
    "sad": """sadness
        tristesse triste
        trauer traurig traurigkeit
        tristeza
        tristezza""",
    "surprise": """suprise suprised surprised surprize
        surpris étonné étonnée étonnement
        überraschung überrascht erstaunt erstaunen
        sorpresa sorprendido sorprendida
        surpresa surpreso
        sorpreso""",
    "neutral": """neutrality
        neutre neutralité
        neutralität
        neutro neutra neutralidad
        neutralidade
        neutrale neutralità""",
    "contempt": """contemptuous
        mépris méprisant méprisante
        verachtung verächtlich
        desprecio
        desprezo
        disprezzo""",
}
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})


def without_accents(text: str) -> str:
    """`colere` of `colère`, however that is composed."""
    if text.isascii():
        return text
    return "".join(part for part in unicodedata.normalize("NFKD", text) if not unicodedata.combining(part))


_EMOTION_OF = {
    without_accents(spelling): emotion
    for emotion, names in _SPELLINGS.items()
    for name in names.split()
    for spelling in (name, name.translate(_UMLAUTS))
}


def emotion_name(class_name: str) -> str:
    """FER-2013's name of an emotion that a dataset spells otherwise; any other name as it is, in lower case."""
    name = class_name.lower()
    return _EMOTION_OF.get(without_accents(name), name)
