import AnnexBuild
import AnnexCore
import ArgumentParser

/// The flags of `annctl build` for models with biases, and with implicit factors.
struct BiasOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Item biases: .npy of one axis, FILE.npz:NAME, or text with a number per line; one per row of the item factors. "
                + "Scores are then mean + user bias + item bias + the product of the factors. Metric ip only.",
            valueName: "file"
        )
    ) var bias: String?
    @Option(help: ArgumentHelp("User biases, in the same way.", valueName: "file")) var userBias: String?
    @Option(parsing: .unconditional, help: ArgumentHelp("The mean of a biased model. (default: 0)", valueName: "x"))
    var globalMean: Double?
    @Option(
        help: ArgumentHelp(
            "The implicit factors y of SVD++, rows as the item factors'. A user's vector is then p + n^-1/2 Σ y over the n "
                + "items of the user's history.",
            valueName: "file"
        )
    ) var implicitFactors: String?

    /// Flags go before what the recipe says.
    func apply(to recipe: inout Recipe) {
        if let bias { recipe.bias = WorkingFolder.absolute(bias) }
        if let userBias { recipe.userBias = WorkingFolder.absolute(userBias) }
        if let globalMean { recipe.globalMean = globalMean }
        if let implicitFactors { recipe.implicitFactors = WorkingFolder.absolute(implicitFactors) }
    }
}

/// What a manifest says of biases, for people.
enum BiasText {
    /// A sentence at the end of a build; none for a model without biases.
    static func lines(_ manifest: Manifest) -> [String] {
        Self.terms(manifest).map { ["scores are \($0) + the product of the factors"] } ?? []
    }

    /// Rows of `inspect`.
    static func rows(_ manifest: Manifest) -> [[String]] { Self.terms(manifest).map { [["biases", $0]] } ?? [] }

    private static func terms(_ manifest: Manifest) -> String? {
        guard let bias = manifest.bias else { return nil }
        let mean = bias.globalMean == 0 ? [] : ["\(bias.globalMean)"]
        return (mean + (bias.ofUsers ? ["user bias"] : []) + ["item bias"]).joined(separator: " + ")
    }
}
