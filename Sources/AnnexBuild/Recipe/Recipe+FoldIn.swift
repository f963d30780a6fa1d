package import AnnexCore
import AnnexLinearAlgebra

/// Reads the keys that say how users' vectors follow from their histories.
extension Recipe {
    /// Names a method of folding in, as the key `fold-in` names it; `none` is nil.
    package enum FoldIn: String, Sendable, CaseIterable {
        /// Implicit-feedback ALS's own step, for factors that it trained.
        case als
        /// A ridge solve over the history alone, for all others; its meaning stands at `FoldInModel.Method`.
        case ridge

        package static let documentation = "als, ridge or none"

        /// - Throws: `.usage` for any other word.
        package static func parse(_ text: String) throws(AnnexError) -> FoldIn? {
            if text == "none" { return nil }
            guard let method = FoldIn(rawValue: text) else {
                throw AnnexError(.usage, "fold-in '\(Printable.escape(text))' is not \(Self.documentation)")
            }
            return method
        }
    }

    static let foldInKeys: Set<String> = ["history", "trained-until", "fold-in", "regularization", "alpha"]

    /// Takes what `recipe.yaml` says.
    mutating func readFoldIn(_ values: [String: String]) throws(AnnexError) {
        self.history = values["history"]
        if let text = values["fold-in"] { self.foldIn = try FoldIn.parse(text) }
        if let text = values["trained-until"] {
            guard text.utf8.allSatisfy({ "0123456789".utf8.contains($0) }), let time = Int64(text) else {
                throw AnnexError(
                    .usage,
                    "trained-until '\(Printable.escape(text))' is no time in milliseconds since 1970",
                    hint: "In a shell: date +%s000"
                )
            }
            self.trainedUntil = time
        }
        self.regularization = try Self.number("regularization", values)
        self.alpha = try Self.number("alpha", values)
    }

    static func number(_ key: String, _ values: [String: String]) throws(AnnexError) -> Double? {
        guard let text = values[key] else { return nil }
        guard let number = PlainNumber.decimal(text) else {
            throw AnnexError(.usage, "\(key) '\(Printable.escape(text))' is no number \(PlainNumber.advice)")
        }
        return number
    }

    /// Refuses contradictions between these keys.
    func validateFoldIn() throws(AnnexError) {
        guard (self.history == nil) == (self.trainedUntil == nil) else {
            throw self.history == nil
                ? AnnexError(
                    .usage,
                    "trained-until without a history",
                    hint: "It says which events are not in the history: give that too"
                )
                : AnnexError(
                    .usage,
                    "a history without trained-until",
                    hint: "Say up to when it goes, in milliseconds since 1970"
                )
        }
        if let time = self.trainedUntil, let problem = EventTime.problem(time) {
            throw AnnexError(.usage, "trained-until \(time) \(problem)", hint: "In a shell: date +%s000")
        }
        guard let method = self.foldIn else {
            guard self.regularization == nil, self.alpha == nil else {
                throw AnnexError(
                    .usage,
                    "\(self.alpha == nil ? "regularization" : "alpha") without fold-in",
                    hint: "Say how to fold in: fold-in is \(FoldIn.documentation)"
                )
            }
            return
        }
        guard let regularization = self.regularization else {
            throw AnnexError(
                .usage,
                "fold-in \(method.rawValue) without regularization",
                hint: method == .als
                    ? "Give the number that the trainer was given" : "Try the mean squared length of the rows"
            )
        }
        for (key, value) in [("regularization", regularization), ("alpha", self.alpha ?? 1)] {
            guard value > 0, value.isFinite else {
                throw AnnexError(.usage, "\(key) \(value) is not above 0", hint: "Give what the trainer was given")
            }
        }
        guard self.alpha == nil || method == .als else {
            throw AnnexError(
                .usage,
                "alpha with fold-in ridge",
                hint: "Leave alpha out: it makes confidences out of weights, for als only"
            )
        }
        guard method != .als || self.metric != .l2 else {
            throw AnnexError(
                .usage,
                "fold-in als on metric l2",
                hint: "ALS trains dot products, which distances do not rank by: take metric ip"
            )
        }
    }

    /// Returns the method that solves for vectors. It is nil where there is none.
    var foldInMethod: FoldInModel.Method? {
        guard let method = self.foldIn, let regularization = self.regularization else { return nil }
        return switch method {
        case .als: .als(regularization: regularization, alpha: self.alpha ?? 1)
        case .ridge: .ridge(regularization: regularization)
        }
    }

    /// Renders these keys and their values, defaults written out. There are none without a fold-in and a history.
    var renderedFoldIn: [String: String] {
        var out: [String: String] = [:]
        if let time = self.trainedUntil { out["trained-until"] = "\(time)" }
        if let method = self.foldIn {
            out["fold-in"] = method.rawValue
            out["regularization"] = self.regularization.map { "\($0)" }
            if method == .als { out["alpha"] = "\(self.alpha ?? 1)" }
        }
        return out
    }
}
