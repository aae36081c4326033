"""How tables call their columns, in English and German: what `intake_guess` compares names with.

Names are compared without case, accents, signs between words and units of time; ä, ö, ü and ß are ae, oe, ue and ss.
"""

from __future__ import annotations

import re
import unicodedata

# Earlier names are better. A name with further words ("UICC stage") fits by one of the WORDS below.
_NAMES = {
    "patient_id": (
        "patientid patient patientidentifier subjectid subject caseid case participantid studyid studienid recordid "
        "pseudonym patientennummer patientennr patientnummer patnr patid patnummer fallnummer fallnr probandenid "
        "proband usubjid subjid id mrn"
    ),
    "time": (
        "time survivaltime overallsurvival followup os ostime timetoevent timetodeath followuptime survival "
        "duration futime fu survtime ueberlebenszeit ueberleben gesamtueberleben nachbeobachtungszeit "
        "nachbeobachtung beobachtungszeit beobachtungsdauer verlaufszeit zeit zeitbisereignis"
    ),
    "event": (
        "event status death dead died vitalstatus osstatus osevent deceased censor fustat ereignis tod tot "
        "verstorben lebensstatus vitalstatuslastcontact survivalstatus overallsurvivalstatus alive"
    ),
    "photo": (
        "photo photofile image imagefile picture portrait filename file photoname photopath imagepath foto bild "
        "bilddatei fotodatei dateiname datei portraitfoto"
    ),
    "age": (
        "age ageyears ageatdiagnosis agediagnosis ageatbaseline diagnosisage alter alterbeidiagnose "
        "alterbeierstdiagnose alterjahre patientenalter"
    ),
    "sex": "sex gender geschlecht",
    "site": (
        "site primary tumorsite tumoursite cancersite primarysite primarytumor primarytumour diagnosis cancertype "
        "primaersitz primaertumor primaerlokalisation tumorlokalisation lokalisation tumorart entitaet "
        "tumorentitaet diagnose cancer tumor tumour"
    ),
    "stage": (
        "stage tumorstage tumourstage cancerstage ajccstage uiccstage uicc ajcc clinicalstage pathologicstage "
        "stadium tumorstadium uiccstadium ajccpathologictumorstage"
    ),
    "ecog": "ecog ecogps performancestatus ps ecogstatus ecogperformancestatus ecogscore who whops",
    "entry": "entry entrytime entered delayedentry lefttruncation eintritt eintrittszeit",
    "photo_date": "photodate imagedate dateofphoto dateofimage fotodatum bilddatum aufnahmedatum",
    "baseline_date": (
        "baselinedate diagnosisdate dateofdiagnosis datediagnosis indexdate startdate dateofbaseline dateofindex "
        "enrolmentdate enrollmentdate dateofenrolment dateofenrollment treatmentstart dxdate diagnosedatum "
        "erstdiagnose erstdiagnosedatum datumdererstdiagnose datumderdiagnose datumerstdiagnose einschlussdatum "
        "therapiebeginn baselinedatum startdatum"
    ),
    "end_date": (
        "lastcontact lastcontactdate dateoflastcontact lastfollowup lastfollowupdate dateoflastfollowup lastseen "
        "lastfu lfudate fudate enddate followupdate lastvisit dateoflastvisit censordate censoringdate "
        "lastknownalive lastalive letzterkontakt datumletzterkontakt datumdesletztenkontakts letztevisite "
        "letztekontaktdatum enddatum letztevorstellung lastfollow nachsorgedatum"
    ),
    "death_date": (
        "deathdate dateofdeath datedeath dod deathdt todesdatum sterbedatum datumdestodes verstorbenam gestorbenam"
    ),
}
NAMES = {meaning: tuple(names.split()) for meaning, names in _NAMES.items()}
# One of these among a name's words is enough, where no other column has it and its contents fit.
WORDS: dict[str, frozenset[str]] = {
    "patient_id": frozenset({"patientid", "subjid", "pseudonym"}),
    "time": frozenset({"survival", "followup", "ueberlebenszeit", "nachbeobachtung", "nachbeobachtungszeit"}),
    "event": frozenset({"status", "event", "vitalstatus", "verstorben"}),
    "photo": frozenset({"photo", "foto", "image", "portrait", "bild"}),
    "age": frozenset({"age", "alter"}),
    "sex": frozenset({"sex", "gender", "geschlecht"}),
    "site": frozenset({"primary", "lokalisation", "primaertumor"}),
    "stage": frozenset({"stage", "stadium", "uicc", "ajcc"}),
    "ecog": frozenset({"ecog"}),
    "baseline_date": frozenset({"diagnosis", "baseline", "erstdiagnose", "diagnose"}),
    "end_date": frozenset({"contact", "followup", "kontakt", "lastseen"}),
    "death_date": frozenset({"death", "tod", "sterbedatum", "todes"}),
    "photo_date": frozenset({"photo", "foto", "bild"}),
}
UNITS = {
    "days": frozenset({"days", "day", "d", "tage", "tag", "tagen"}),
    "weeks": frozenset({"weeks", "week", "wk", "wks", "wochen", "woche"}),
    "months": frozenset({"months", "month", "mo", "mos", "mths", "monate", "monat", "monaten", "mon"}),
    "years": frozenset({"years", "year", "yrs", "yr", "y", "jahre", "jahr", "jahren", "j"}),
}
# The answer to "did it happen?", and words that say what happened.
ANSWERS = (frozenset({"1", "yes", "y", "true", "t", "ja", "j"}), frozenset({"0", "no", "n", "false", "f", "nein"}))
_EVENTS = (
    "dead|died|death|deceased|event|exitus|verstorben|gestorben|tot|tod|recurred|progressed|relapsed|relapse|"
    "recurred/progressed|rezidiv|progress"
)
_CENSORINGS = (
    "alive|living|censored|lost|lebt|lebend|lebendig|am leben|zensiert|diseasefree|disease free|event free|no event|"
    "not deceased|lost to follow-up|censoring"
)
EVENT, CENSORED = ANSWERS[0] | {*_EVENTS.split("|")}, ANSWERS[1] | {*_CENSORINGS.split("|")}
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss"})


def unit_of(word: str) -> str | None:
    """The unit of time that a word of a column's name means."""
    return next((unit for unit, words in UNITS.items() if word in words), None)


def words_of_name(name: str) -> list[str]:
    """A column's name as plain words: patientID and "Patient ID" are both patient, id."""
    text = unicodedata.normalize("NFC", name).translate(_UMLAUTS)
    text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    spaced = re.sub(r"([a-z])([A-Z])", r"\1 \2", text)
    return [word for word in re.split(r"[^a-z0-9]+", spaced.lower()) if word]
