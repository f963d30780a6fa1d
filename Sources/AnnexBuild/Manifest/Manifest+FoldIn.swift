import AnnexCore
package import AnnexLinearAlgebra

extension Manifest {
    /// Says how users' vectors follow from histories, and what came of it in the build.
    package struct FoldIn: Codable, Sendable, Equatable {
        /// The method is `als` or `ridge`.
        package var method: String
        package var regularization: Double
        /// It is absent for `ridge`.
        package var alpha: Double?
        /// Counts users whose stored vector was solved from their history.
        package var solvedUsers: Int
        /// Counts users whose history has no finite solution: the trainer's vector is stored, where there is one.
        package var unsolvedUsers: Int
        /// The distance ‖x − x₀‖ / ‖x₀‖ lies between the solved vector and the trainer's. It is taken over users with
        /// both: the mean, and what 99 % of them stay below. It is absent where there is no such user, and for `ridge`.
        package var meanDistance: Double?
        package var distance99: Double?

        init(_ method: FoldInModel.Method) {
            self.method = method.name
            self.regularization = method.regularization
            if case .als(_, let alpha) = method { self.alpha = alpha }
            (self.solvedUsers, self.unsolvedUsers) = (0, 0)
        }

        package var parsedMethod: FoldInModel.Method? {
            switch (self.method, self.alpha) {
            case ("als", let alpha?): .als(regularization: self.regularization, alpha: alpha)
            case ("ridge", nil): .ridge(regularization: self.regularization)
            default: nil
            }
        }
    }

    /// Tells whether a time is of the years 1970 to 9999.
    static func isTime(_ millis: Int64) -> Bool { (0..<253_402_300_800_000).contains(millis) }

    /// Says what is wrong with fold-in and histories. It is nil where nothing is.
    var problemOfFoldIn: String? {
        let hasAny = self.foldIn != nil || self.trainedUntil != nil || self.histories != nil || self.interactions != nil
        guard !hasAny || self.format > Self.formatWithoutHistories else {
            return "foldIn (not in format \(self.format))"
        }
        if let foldIn {
            guard let method = foldIn.parsedMethod, method.regularization > 0, method.regularization.isFinite,
                (foldIn.alpha ?? 1) > 0, (foldIn.alpha ?? 1).isFinite,
                (0...self.users).contains(foldIn.solvedUsers), (0...Limits.maximumItems).contains(foldIn.unsolvedUsers),
                [foldIn.meanDistance, foldIn.distance99].allSatisfy({ $0 ?? 0 >= 0 && ($0 ?? 0).isFinite })
            else { return "foldIn" }
            let bytes = self.files.first { $0.path == VersionLayout.foldIn }?.bytes
            guard bytes == FoldInModel.byteCount(method, dimension: self.storedDimension) else {
                return "files, \(VersionLayout.foldIn) (its size is not that of \(self.storedDimension) dimensions)"
            }
        }
        let isComplete = [self.trainedUntil == nil, self.histories == nil, self.interactions == nil]
        guard Set(isComplete).count == 1 else { return "histories" }
        guard Self.isTime(self.trainedUntil ?? 0) else { return "trainedUntil" }
        guard (0...Limits.maximumItems).contains(self.histories ?? 0) else { return "histories" }
        guard ((self.histories ?? 0)...1 << 50).contains(self.interactions ?? 0) else { return "interactions" }
        return nil
    }
}
