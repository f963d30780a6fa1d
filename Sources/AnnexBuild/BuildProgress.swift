package import AnnexCore

/// A report of how far a build is.
package struct BuildProgress: Sendable {
    package enum Stage: String, Sendable, CaseIterable {
        case sources = "hashing sources"
        case items = "reading items"
        case users = "reading users"
        /// Only a build with a history has this stage.
        case histories = "reading the history"
        /// Only a build with a history or a fold-in has this stage.
        case foldIn = "folding in"
        case index = "building the index"
        case layout = "ordering for the scan"
        case recall = "measuring recall"
        case publish = "publishing"

        /// Lists the stages of a build, in their order.
        package static func all(of recipe: Recipe) -> [Stage] {
            Self.allCases.filter { stage in
                switch stage {
                case .histories: recipe.history != nil
                case .foldIn: recipe.history != nil || recipe.foldIn != nil
                default: true
                }
            }
        }
    }

    package let stage: Stage
    /// Holds the part of the stage that is done, 0 to 1.
    package let fraction: Double
}

package struct BuildResult: Sendable {
    package let version: EntryName
    package let folder: String
    package let manifest: Manifest
    /// Mean microseconds per query at the chosen operating point, one thread.
    package let microsPerQuery: Double
    /// Holds mean microseconds per query, for each candidate that the manifest lists.
    package let candidateMicros: [Double]
    package let rejectsFile: String?
}
