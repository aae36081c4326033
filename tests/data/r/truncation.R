# Values of R for left truncation: patients who come under observation late.
#   python tests/data/r/export.py FOLDER && Rscript tests/data/r/truncation.R FOLDER tests/data/r/truncation.json
suppressPackageStartupMessages({
  library(survival)
  library(jsonlite)
})
args <- commandArgs(trailingOnly = TRUE)
stratum_of <- c(veteran = "celltype_smallcell", gbsg2 = "horth_yes", whas500 = "gender_1")

facts <- function(fit) {
  s <- summary(fit)
  base <- basehaz(fit, centered = FALSE)
  zph <- lapply(c(km = "km", rank = "rank", identity = "identity", log = "log"), function(g) {
    z <- cox.zph(fit, transform = g, terms = FALSE)$table
    list(chisq = unname(z[, "chisq"]), p = unname(z[, "p"]))
  })
  list(
    coef = unname(coef(fit)), se = unname(s$coefficients[, "se(coef)"]), loglik = fit$loglik,
    logtest = unname(s$logtest[["test"]]), sctest = unname(s$sctest[["test"]]), waldtest = fit$wald.test,
    concordance = unname(fit$concordance["concordance"]),
    hazard_end = unname(tapply(base$hazard, if (is.null(base$strata)) rep(1, nrow(base)) else base$strata, max)),
    schoenfeld_sum_of_squares = unname(colSums(as.matrix(residuals(fit, type = "schoenfeld"))^2)), zph = zph
  )
}

# survdiff knows no entries, so observed, expected and hypergeometric variance are summed by hand
log_rank <- function(entry, time, event, group) {
  excess <- 0
  variance <- 0
  for (t in unique(time[event == 1])) {
    there <- entry < t & time >= t
    n <- sum(there)
    m <- sum(there & group == 1)
    dead <- sum(time == t & event == 1)
    excess <- excess + sum(time == t & event == 1 & group == 1) - dead * m / n
    if (n > 1) variance <- variance + dead * m * (n - m) * (n - dead) / (n^2 * (n - 1))
  }
  excess^2 / variance
}

one <- function(name) {
  d <- read.csv(file.path(args[1], paste0(name, ".csv")))
  # whole days, so that entries and events share times: who enters at an event's time was not at risk for it
  entry <- floor(d$time * (seq_len(nrow(d)) %% 4) / 5)
  y <- Surv(entry, d$time, d$event)
  x <- as.matrix(d[, setdiff(names(d), c("time", "event"))])
  s <- d[[stratum_of[[name]]]]
  rest <- x[, setdiff(colnames(x), stratum_of[[name]])]
  strict <- coxph.control(eps = 1e-12, toler.chol = 1e-13, iter.max = 50)
  km <- survfit(y ~ 1, conf.type = "log-log")
  list(
    columns = colnames(x), stratum = stratum_of[[name]], entry_sum = sum(entry),
    efron = facts(coxph(y ~ x, ties = "efron", control = strict)),
    breslow = facts(coxph(y ~ x, ties = "breslow", control = strict)),
    stratified = facts(coxph(y ~ rest + strata(s), ties = "efron", control = strict)),
    km = list(time = km$time, n_risk = km$n.risk, n_event = km$n.event, n_censor = km$n.censor,
              surv = km$surv, lower = km$lower, upper = km$upper,
              median = unname(summary(km)$table[c("median", "0.95LCL", "0.95UCL")])),
    logrank = log_rank(entry, d$time, d$event, s)
  )
}

result <- lapply(c(veteran = "veteran", gbsg2 = "gbsg2", whas500 = "whas500"), one)
result$versions <- list(R = R.version.string, survival = as.character(packageVersion("survival")))
writeLines(toJSON(result, digits = NA, auto_unbox = TRUE, na = "null"), args[2])
