import AnnexCore
import AnnexFormats

/// The rules that a recipe has for a history.
struct HistoryRules: Sendable {
    /// A line of a later time is a bad row.
    let trainedUntil: Int64
    let skipBadRows: Bool
    /// Names the columns of a text. With nil they are those that its heading tells.
    let columns: InteractionColumns?
    /// 1 where nothing makes confidences out of weights.
    private let alpha: Double

    init(_ recipe: Recipe, trainedUntil: Int64) {
        self.trainedUntil = trainedUntil
        self.skipBadRows = recipe.skipBadRows
        self.columns = recipe.columns
        self.alpha = recipe.foldIn == .als ? recipe.alpha ?? 1 : 1
    }

    static let hint = "Divide all weights by one number, take their logarithms, or give a smaller alpha"

    /// Returns the fault of a weight, or of the sum of several; nil where a solve keeps its precision.
    func problem(weight: Double) -> String? {
        guard !(abs(self.alpha * weight) <= Limits.maximumConfidence) else { return nil }
        let product = self.alpha == 1 ? "the weight \(weight)" : "the weight \(weight) times alpha \(self.alpha)"
        return "\(product) is above \(Printable.scientific(Limits.maximumConfidence)) in size"
    }
}
