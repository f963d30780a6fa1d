import AnnexBuild
import AnnexCore
import AnnexFormats
import ArgumentParser

/// The flags of `annctl build` that say how users' vectors follow from their histories.
struct FoldInOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The interactions the factors were trained on: .npz (scipy CSR, users × items, rows as in the factor files), or "
                + ".tsv or .csv of user, item, weight (else 1), time.",
            valueName: "file"
        )
    ) var history: String?
    @Option(
        help: ArgumentHelp(
            "What the columns of a .tsv or .csv history are: user, item, weight and time in the order of the file, - for one to "
                + "pass over. (default: by the heading; without one user,item,weight,time)",
            valueName: "user,item,…"
        )
    ) var columns: String?
    @Option(
        help: ArgumentHelp(
            "Up to when the history goes, in milliseconds since 1970; what is later in it is a bad row.",
            valueName: "ms"
        )
    ) var trainedUntil: Int64?
    @Option(
        help: ArgumentHelp(
            "als: the exact step of implicit-feedback ALS. ridge: the vector whose scores come closest to the history's "
                + "weights, for other trainers. none: trained vectors only. (default: none)",
            valueName: "method"
        )
    ) var foldIn: String?
    @Option(help: ArgumentHelp("λ of the fold-in, as the trainer was given it.", valueName: "x")) var regularization:
        Double?
    @Option(help: ArgumentHelp("Confidence per weight, for als. (default: 1)", valueName: "x")) var alpha: Double?

    /// Flags go before what the recipe says; another method takes none of its parameters over.
    func apply(to recipe: inout Recipe) throws {
        if let history { recipe.history = WorkingFolder.absolute(history) }
        if let columns { recipe.columns = try InteractionColumns(parsing: columns) }
        if let trainedUntil { recipe.trainedUntil = trainedUntil }
        if let foldIn {
            let method = try Recipe.FoldIn.parse(foldIn)
            if method != recipe.foldIn { (recipe.regularization, recipe.alpha) = (nil, nil) }
            recipe.foldIn = method
        }
        if let regularization { recipe.regularization = regularization }
        if let alpha { recipe.alpha = alpha }
    }
}

/// What a manifest says of fold-in and histories, for people.
enum FoldInText {
    /// Sentences at the end of a build.
    static func lines(_ manifest: Manifest) -> [String] {
        var lines: [String] = []
        if let users = manifest.histories, let interactions = manifest.interactions {
            lines.append("\(users) users have a history, \(interactions) interactions in all")
        }
        guard let foldIn = manifest.foldIn else { return lines }
        lines.append("fold-in \(Self.method(foldIn)): \(foldIn.solvedUsers) users' vectors were solved")
        if foldIn.unsolvedUsers > 0 {
            lines.append(
                "\(foldIn.unsolvedUsers) histories have no finite solution: these users keep the trainer's vectors"
            )
        }
        if let distance = Self.distance(foldIn) {
            lines.append("solved vectors are off the trainer's own by \(distance)")
        }
        return lines
    }

    /// Rows of `inspect`.
    static func rows(_ manifest: Manifest) -> [[String]] {
        var rows: [[String]] = []
        if let users = manifest.histories, let interactions = manifest.interactions {
            rows.append(["users with a history", "\(users)"])
            rows.append(["interactions", "\(interactions)"])
            rows.append(["trained until", "\(manifest.trainedUntil ?? 0) ms"])
        }
        guard let foldIn = manifest.foldIn else { return rows }
        rows.append(["fold-in", Self.method(foldIn)])
        rows.append(["vectors solved", "\(foldIn.solvedUsers)"])
        if foldIn.unsolvedUsers > 0 { rows.append(["without a solution", "\(foldIn.unsolvedUsers)"]) }
        if let distance = Self.distance(foldIn) { rows.append(["off the trainer's by", distance]) }
        return rows
    }

    private static func method(_ foldIn: Manifest.FoldIn) -> String {
        "\(foldIn.method), regularization \(foldIn.regularization)"
            + (foldIn.alpha.map { ", alpha \($0)" } ?? "")
    }

    private static func distance(_ foldIn: Manifest.FoldIn) -> String? {
        guard let mean = foldIn.meanDistance, let most = foldIn.distance99 else { return nil }
        return "\(Figures.percent(mean)) on average, at most \(Figures.percent(most)) for 99 % of users"
    }
}
