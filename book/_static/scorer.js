// The search finds chapters first: of the reference's names, only the one that was
// typed comes before them.
var Scorer = {
  objNameMatch: 15,
  objPartialMatch: -10,
  objPrio: {0: 5, 1: 0, 2: -5},
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
